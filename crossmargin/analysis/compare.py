"""Compare margin models over one book: requirement, savings from pooling, and cost of the proof.

Segregated margin is the baseline: every sub-account covers its own requirement with its own collateral. Efficiency of
pooling is 1 - (requirement of the pooled accounts) / (requirements of their sub-accounts, added up).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossmargin.book.book import Book
from crossmargin.book.exact_sum import total_of
from crossmargin.engine.evaluate import Margin, evaluate
from crossmargin.market.environment import MarketEnvironment
from crossmargin.models import MarginModel, build_policy
from crossmargin_circuits.compile import CompiledPolicy, compile_policy

__all__ = ["Comparison", "Cost", "compare", "cost_of"]


@dataclass(frozen=True)
class Cost:
    """Size of a statement's proof: rows, auxiliaries, and the bits that its largest row may need."""

    rows: int
    auxiliaries: int
    bits: int


@dataclass(frozen=True, repr=False)
class Comparison:
    """One model over a book: margin of the pooled accounts, and totals in quanta of the model's value unit.

    segregated: requirements of all sub-accounts alone, added up; segregated_shortfall: what these lack.
    """

    name: str
    compiled: CompiledPolicy
    margin: Margin
    segregated: int
    segregated_shortfall: int

    @property
    def cost(self) -> Cost:
        """Size of the statement's proof."""
        return cost_of(self.compiled)

    @property
    def equity(self) -> int:
        """Equity of all accounts."""
        return total_of(self.margin.equity)

    @property
    def requirement(self) -> int:
        """Requirement of all accounts."""
        return total_of(self.margin.requirement)

    @property
    def shortfall(self) -> int:
        """Sum of the accounts' shortfalls."""
        return total_of(self.margin.shortfall)

    @property
    def under_water(self) -> int:
        """Number of accounts whose equity does not cover their requirement."""
        return int(np.count_nonzero(self.margin.excess < 0))

    @property
    def pooling_efficiency(self) -> float:
        """Part of the segregated requirement that pooling saves; 0 where nothing is required."""
        return 1 - self.requirement / self.segregated if self.segregated else 0.0


def compare(
    venue: str, environment: MarketEnvironment, models: Mapping[str, MarginModel], statement: str, book: Book
) -> list[Comparison]:
    """Evaluate one statement of several models over a book, in the order given.

    models: by a name for people; each has a statement of that name.

    Raises:
        InputError: a model without the statement, or one that the environment does not fit. LimitError: as `evaluate`.
    """
    found = []
    for name, model in models.items():
        compiled = compile_policy(build_policy(venue, environment, model, statement))
        margin = evaluate(compiled, book.records)
        alone = margin if book.sub_records is book.records else evaluate(compiled, book.sub_records)
        found.append(Comparison(name, compiled, margin, total_of(alone.requirement), total_of(alone.shortfall)))
    return found


def cost_of(compiled: CompiledPolicy) -> Cost:
    """Return the size of a compiled policy's proof."""
    relation = compiled.relation
    bits = max(bound.bit_length() for bound in compiled.row_bounds)
    return Cost(len(relation.rows), len(relation.auxiliaries), bits)
