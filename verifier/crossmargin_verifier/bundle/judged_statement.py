"""A verified statement as the claims of a verdict read it: with its place, its name and its compiled policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.errors import FullFormError
from crossmargin_circuits.full_form import FullForm, check_full_form, reliefs
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Definition, Policy, PolicyKind
from crossmargin_verifier.bundle.figures import Amount
from crossmargin_verifier.protocol.verify import VerifiedStatement

__all__ = ["JudgedStatement"]


@dataclass(frozen=True)
class JudgedStatement:
    """A verified statement. number: its place in the bundle, from 1; name: of its folder; factor: the venue's words."""

    number: int
    name: str
    compiled: CompiledPolicy
    verified: VerifiedStatement
    factor: str = ""

    @property
    def policy(self) -> Policy:
        """The policy of the statement."""
        return self.compiled.policy

    @cached_property
    def judged_equity(self) -> FullForm | FullFormError | None:
        """The coefficients of equity, or why it has no full form; None of a statement of another kind."""
        if self.policy.kind is not PolicyKind.SOLVENCY:
            return None
        try:
            return check_full_form(self.policy)
        except FullFormError as error:
            return error

    @property
    def full_form(self) -> FullForm | None:
        """The coefficients of equity, if it has a full form."""
        return self.judged_equity if isinstance(self.judged_equity, FullForm) else None

    @cached_property
    def reliefs(self) -> Mapping[str, int]:
        """The greatest amount by which one account is relieved, by definition or constraint; value quanta."""
        return reliefs(self.policy)

    @cached_property
    def uneven(self) -> tuple[str, ...]:
        """The entry values that some row counts otherwise than the balance of their asset."""
        layout = self.policy.layout
        found = []
        for entry, column in enumerate(layout.columns):
            balance = layout.find(ColumnKind.BALANCE, column.name) if column.kind is ColumnKind.ENTRY else None
            if balance is not None and any(row.base[balance] != row.base[entry] for row in self.verified.relation.rows):
                found.append(column.key)
        return tuple(found)

    def total(self, definition: Definition) -> int | None:
        """Return the opened total of a definition's auxiliary, by number: labels are for people."""
        if self.verified.auxiliary_totals is None:
            return None
        opened = dict(zip(self.verified.relation.disclosed, self.verified.auxiliary_totals, strict=True))
        return opened[self.compiled.auxiliary_of[definition.name]]

    def money(self, quanta: int) -> Amount:
        """Return a value in the currency of the policy."""
        unit = self.policy.value_unit
        return Amount.of(quanta * Fraction(unit.quantum), unit.currency)
