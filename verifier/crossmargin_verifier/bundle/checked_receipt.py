"""A receipt that passed H1 - H4: what it shows, what it does not, as text and as JSON. Private."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from crossmargin_circuits.amounts import format_time
from crossmargin_verifier.bundle.foreign_text import foreign_text
from crossmargin_verifier.bundle.holder_margin import HolderMargin
from crossmargin_verifier.bundle.receipt_file import holder_part, readable
from crossmargin_verifier.protocol.inclusion import VerifiedReceipt

__all__ = ["CheckedReceipt"]

WIDTH = 80
"""Characters of a line of the text."""

SHOWN = "this record is a leaf of the snapshot, under your id"
NOT_SHOWN = (
    "that the record is right: compare it with your own books",
    "that your account, or any other, covers its requirement: the proofs of the bundle show it, and "
    "`crossmargin-verify bundle` checks them",
    "that everybody was shown this snapshot: compare its digest with an independent publication",
)
"""What no receipt shows."""


@dataclass(frozen=True, repr=False)
class CheckedReceipt:
    """A receipt that passed H1 - H4 and whose signature, if it has one, holds.

    margins: under every statement of the bundle, none without a bundle.
    """

    receipt: VerifiedReceipt
    is_signed: bool
    snapshot_compared: bool
    key_compared: bool
    margins: tuple[HolderMargin, ...]

    @property
    def record(self) -> list[dict[str, Any]]:
        """The entries of the record that are not zero: column, units and amount in words."""
        shown: list[dict[str, Any]] = self._readable["record"]
        return shown

    @property
    def _readable(self) -> dict[str, Any]:
        return readable(self.receipt.receipt, self.receipt.snapshot, self.receipt.columns)

    @property
    def data(self) -> dict[str, Any]:
        """The result for programs."""
        shown = self._readable
        return {
            "format": "crossmargin-receipt-check/1",
            "outcome": "verified",
            "account": shown["account"],
            "holder_part": shown["holder_part"],
            "leaf": shown["leaf"],
            "snapshot": shown["snapshot"],
            "snapshot_compared": self.snapshot_compared,
            "signed": self.is_signed,
            "key_compared": self.key_compared,
            "record": shown["record"],
            "margins": [each.data for each in self.margins],
            "not_shown": list(NOT_SHOWN),
        }

    @property
    def text(self) -> str:
        """The result for people."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        receipt, snapshot = self.receipt.receipt, self.receipt.snapshot
        yield from _wrapped(f"VERIFIED: {SHOWN}", "")
        yield f"  id         {foreign_text(receipt.holder)}"
        yield f"  leaf       {receipt.index} of {snapshot.accounts}"
        yield f"  snapshot   {foreign_text(snapshot.sid)}"
        yield f"  taken      {format_time(snapshot.as_of)}"
        yield f"  digest     {snapshot.digest.hex()}"
        compared = "equal to the digest that you gave" if self.snapshot_compared else "NOT COMPARED with a publication"
        yield f"             {compared}"
        yield f"  signature  {self._signature()}"
        yield ""
        yield from _wrapped(self._uniqueness(), "")
        yield "\nYour record"
        yield from _table({line["column"]: line["amount"] for line in self.record})
        for margin in self.margins:
            yield from _margin_lines(margin)
        if not self.margins:
            yield from _wrapped("Your margin: name the bundle (--bundle) to compute it under its statements.", "\n")
        yield "\nWhat this does not show"
        for each in NOT_SHOWN:
            yield from wrap(each, WIDTH, initial_indent="  - ", subsequent_indent="    ")
        yield "\nThis file shows your positions: keep it private."

    def _signature(self) -> str:
        if not self.is_signed:
            return "none: as a complaint this file alone proves nothing"
        return "holds, by the key that you gave" if self.key_compared else "holds; its key was NOT COMPARED"

    def _uniqueness(self) -> str:
        """Say on what condition nobody else can be shown the same leaf."""
        part = holder_part(self.receipt.receipt.holder)
        if part:
            return (
                f'Nobody else can be shown this leaf, if you chose "{foreign_text(part)}", the part of the id after '
                "#, yourself, and nobody else chose it."
            )
        return (
            "The id has no part that you chose: whoever has the same id can be shown this leaf as well, and only "
            "the venue knows who has it."
        )


def _margin_lines(margin: HolderMargin) -> Iterator[str]:
    yield f"\nStatement {margin.statement}: {margin.kind}"
    yield from _table(margin.margin)
    if margin.worst_scenario:
        yield from _wrapped(f"  worst scenario, in the venue's words: {foreign_text(margin.worst_scenario)}", "")
    for heading, amounts in (
        ("Your claims, by asset", margin.claims),
        ("Your debts, by asset", margin.debts),
        ("Your part of exposures, by the venue's names", margin.exposures),
    ):
        if amounts:
            yield f"  {heading}"
            yield from _table(amounts, "    ")


def _table(amounts: Mapping[str, str], indent: str = "  ") -> Sequence[str]:
    """Return names and amounts in two columns, or each amount below its name where two columns are too wide."""
    names = {foreign_text(name): foreign_text(amount) for name, amount in amounts.items()}
    width = max(map(len, names), default=0)
    if len(indent) + width + 2 + max(map(len, names.values()), default=0) <= WIDTH:
        return [f"{indent}{name:{width}}  {amount}" for name, amount in names.items()]
    return [line for name, amount in names.items() for line in (f"{indent}{name}", f"{indent}    {amount}")]


def _wrapped(text: str, before: str) -> Sequence[str]:
    lines = wrap(text, WIDTH, subsequent_indent="    ")
    return [f"{before}{lines[0]}", *lines[1:]]
