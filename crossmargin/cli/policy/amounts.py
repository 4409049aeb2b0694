"""The fixed amounts of a policy as money: what each account is charged, or relieved of, whatever it holds."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import chain

from crossmargin.cli.output import money
from crossmargin.units import amount_of, format_units
from crossmargin_circuits.expression import Expression
from crossmargin_circuits.policy import Constraint, Definition, Policy, RiskArray, ValueUnit
from crossmargin_circuits.reading import Algebra, Reading, read

__all__ = ["amounts_of", "in_words"]

SHOWN = 12
"""Amounts that a line lists."""

Amounts = tuple[int, ...]


class _Amounts(Algebra[Amounts]):
    """The amounts that an expression itself holds, each times the factors above it, in the order of the text."""

    def linear(self, array: RiskArray) -> Amounts:
        return ()

    def amount(self, value: int) -> Amounts:
        return (value,)

    def zero(self) -> Amounts:
        return ()

    def scale(self, by: int, value: Amounts) -> Amounts:
        return tuple(by * each for each in value)

    def add(self, values: Iterator[Amounts]) -> Amounts:
        return tuple(chain.from_iterable(values))

    greatest = least = add

    def largest(self, count: int, values: Iterator[Amounts]) -> Amounts:
        return self.add(values)

    def defined(self, definition: Definition, value: Amounts) -> Amounts:
        # It has a line of its own.
        return ()


class _Reached(Algebra[frozenset[str]]):
    """The names of the definitions that an expression refers to, directly or not."""

    def linear(self, array: RiskArray) -> frozenset[str]:
        return frozenset()

    def amount(self, value: int) -> frozenset[str]:
        return frozenset()

    def zero(self) -> frozenset[str]:
        return frozenset()

    def scale(self, by: int, value: frozenset[str]) -> frozenset[str]:
        return value

    def add(self, values: Iterator[frozenset[str]]) -> frozenset[str]:
        return frozenset(chain.from_iterable(values))

    greatest = least = add

    def largest(self, count: int, values: Iterator[frozenset[str]]) -> frozenset[str]:
        return self.add(values)

    def defined(self, definition: Definition, value: frozenset[str]) -> frozenset[str]:
        return value | {definition.name}


def amounts_of(policy: Policy) -> dict[str, Amounts]:
    """Return the amounts of each definition and constraint that has some, in quanta: charges above zero, reliefs below.

    Where equity or a constraint counts an amount, it relieves the account.
    """
    of_equity: frozenset[str] = frozenset()
    if policy.equity is not None:
        of_equity = read(policy, policy.equity.expression, _Reached()) | {policy.equity.name}
    reading = Reading(policy, _Amounts())
    parts: list[tuple[str, Expression, bool]] = [
        *((each.name, each.expression, each.name in of_equity) for each in policy.definitions),
        *((each.name, each.expression, True) for each in policy.constraints),
    ]
    found = {name: (reading.of(expression), relieves) for name, expression, relieves in parts}
    return {
        name: tuple(-each if relieves else each for each in amounts)
        for name, (amounts, relieves) in found.items()
        if amounts
    }


def in_words(policy: Policy, each: Definition | Constraint) -> list[str]:
    """Return lines such as "relief of 10,000.00 USD for each account" for the amounts of a definition or constraint."""
    unit = policy.value_unit
    amounts = tuple(dict.fromkeys(amounts_of(policy).get(each.name, ())))
    lines = []
    for word, chosen in (
        ("charge", [amount for amount in amounts if amount > 0]),
        ("relief", [-amount for amount in amounts if amount < 0]),
    ):
        if chosen:
            listed = ", ".join(_money(amount, unit) for amount in chosen[:SHOWN])
            more = f" and {len(chosen) - SHOWN} more" if len(chosen) > SHOWN else ""
            lines.append(f"{word} of {listed} {unit.currency}{more} for each account")
    return lines


def _money(quanta: int, unit: ValueUnit) -> str:
    """Return money for reading; exactly where cents would show next to nothing of it."""
    quantum = Decimal(unit.quantum)
    return money(quanta, unit) if amount_of(quanta, quantum) >= 1 else format_units(quanta, quantum)
