"""The verdict for people: lines of at most 80 columns that an auditor can quote.

A line with the words of the venue begins with VENUE and holds nothing else, in ASCII with escapes. Every other word is
the verifier's own, apart from the names of assets and instruments, which are ASCII without blanks.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from crossmargin_circuits.amounts import format_amount
from crossmargin_verifier.bundle.claim import Claim
from crossmargin_verifier.bundle.figures import Asset, Statement
from crossmargin_verifier.bundle.foreign_text import foreign_text

if TYPE_CHECKING:
    from crossmargin_verifier.bundle.verdict import Verdict

__all__ = ["verdict_text"]

WIDTH = 80

VENUE = "venue's words: "
"""In front of every line of words that a venue chose."""


def verdict_text(verdict: "Verdict", not_shown: Sequence[str]) -> str:
    """Return the text of a verdict."""
    snapshot = verdict.snapshot
    lines = [
        f"Snapshot of {snapshot.as_of}, {snapshot.accounts:,} committed account{'s' if snapshot.accounts > 1 else ''}",
        *_venue(verdict.venue, 2),
        *_venue(snapshot.id, 2),
        "",
        *_wrapped(verdict.headline),
        "",
        "Claims",
        *chain.from_iterable(map(_claim, verdict.claims)),
        "",
        "Assets of the whole book",
        *chain.from_iterable(map(_asset, verdict.assets)),
    ]
    if verdict.instruments:
        lines += ["", "Instruments"]
        for contract in verdict.instruments:
            net = "" if contract.net is None else f", all positions net to {format_amount(contract.net.value)}"
            lines += _wrapped(f"{contract.instrument}: settled in {contract.settled_in}{net}", 2)
            lines += _venue(contract.unit, 4)
    for statement in verdict.statements:
        lines += ["", *_statement(statement)]
    lines += ["", "Declared by the venue", *_wrapped(f"insurance fund {verdict.reserves.insurance_fund}", 2)]
    lines += _venue(verdict.reserves.source, 2)
    if snapshot.rejected:
        lines += _wrapped(f"{snapshot.rejected:,} accounts that it rejected, and did not commit to", 2)
    lines += ["", *_digests(verdict)]
    lines += ["", "What this does not show"]
    for each in not_shown:
        lines += _wrapped(f"- {each}", 2, 4)
    lines += ["", *_outcome(verdict)]
    return "\n".join(lines) + "\n"


def _claim(claim: Claim) -> list[str]:
    where = f", statement {claim.statement}" if claim.statement else ""
    subject = f" {claim.subject}" if claim.subject and not claim.statement else ""
    return _wrapped(f"{claim.result}  {claim.topic}{subject}{where}: {claim.text}", 2, 8)


def _asset(asset: Asset) -> Iterator[str]:
    figures = [
        ("balances", asset.balances),
        ("entry values", asset.entry_values),
        ("debts", asset.debts),
        ("owed to holders at most", asset.owed),
        ("reserves declared", asset.reserves),
    ]
    yield from _wrapped(
        f"{asset.asset}: {'; '.join(f'{what} {each}' for what, each in figures if each is not None)}", 2, 4
    )
    if asset.ratio is not None:
        yield from _wrapped(f"reserves divided by what holders are owed: {asset.ratio}", 4)
    for share in asset.shares:
        yield from _wrapped(f"share of the book's equity, statement {share.statement}: at most {share.percent} %", 4)


def _statement(each: Statement) -> Iterator[str]:
    yield f"Statement {each.number}: {each.kind}"
    yield from _venue(each.name, 2)
    yield from _venue(each.title, 2)
    if each.strict is not None:
        what = "strict: no account may lack anything" if each.strict else "what accounts lack is disclosed as shortfall"
        yield from _wrapped(what, 2)
    yield from _wrapped(f"{each.rows} rows, {each.auxiliaries} auxiliaries, quantum {each.quantum}", 2)
    yield from _wrapped(f"prices of {each.prices_of}", 2)
    if each.factor:
        yield from _venue(f"factor {each.factor}", 2)
    for what, amount in (
        ("equity of all accounts together, at most", each.equity),
        ("requirement of all accounts together", each.requirement),
        ("shortfall of all accounts together", each.shortfall),
    ):
        if amount is not None:
            yield from _wrapped(f"{what}: {amount}", 2)
    for exposure in each.exposures:
        yield from _wrapped(f"exposure of all accounts together: {exposure.total}", 2)
        yield from _venue(exposure.name, 4)
    for relief in each.reliefs:
        yield from _wrapped(f"relieved at most: {relief.account} an account, {relief.accounts} for all", 2)
        yield from _venue(relief.name, 4)
    if not each.formulas:
        yield "  formulas: in policy.json"
    for formula in each.formulas:
        yield from _venue(formula, 2, len(formula) * 10)


def _digests(verdict: "Verdict") -> Iterator[str]:
    yield "Digests and key"
    numbered = {each.name: each.number for each in verdict.statements}
    for key, digest in verdict.digests.items():
        name = key
        compared = ", compared: equal" if key in verdict.compared else ""
        owner, _, what = name.rpartition(" ")
        yield (
            f"  {what} of statement {numbered[owner]}{compared}"
            if what in ("statement", "policy")
            else f"  {name}{compared}"
        )
        yield f"    {digest}"
    if len(verdict.compared) < len(verdict.digests):
        yield from _wrapped(
            "Digests that were not compared with an independent publication show only that the bundle agrees with "
            "itself. The bundle digest covers all others.",
            2,
        )
    size = sum(each.size for each in verdict.files)
    yield from _wrapped(f"{len(verdict.files):,} files of {size:,} bytes; anchor.json lists their SHA-256", 2)
    if verdict.run is not None:
        run = verdict.run
        yield from _wrapped(f"crossmargin-verify {run.verifier}, {run.arithmetic}, {run.started} to {run.ended}", 2)


def _outcome(verdict: "Verdict") -> list[str]:
    failed, left = verdict.failed, verdict.open
    if not failed and not left:
        return ["VERIFIED"]
    parts = []
    if failed:
        parts.append(f"{len(failed)} claim{'s fail' if len(failed) > 1 else ' fails'} ({_topics(failed)})")
    if left:
        claims = "" if failed else " claim" if len(left) == 1 else " claims"
        parts.append(f"{len(left)}{claims} {'are' if len(left) > 1 else 'is'} not judged ({_topics(left)})")
    return _wrapped(f"VERIFIED, BUT {' and '.join(parts)}")


def _topics(claims: Sequence[Claim]) -> str:
    return ", ".join(dict.fromkeys(str(claim.topic) for claim in claims))


def _venue(text: str, indent: int, limit: int = 400) -> list[str]:
    """Return words of the venue, each line marked as such."""
    prefix = " " * indent + VENUE
    return [f"{prefix}{line}" for line in _lines(foreign_text(text, limit), WIDTH - len(prefix))]


def _wrapped(text: str, indent: int = 0, hanging: int | None = None) -> list[str]:
    """Return a paragraph of the verifier's own words."""
    hanging = indent if hanging is None else hanging
    return _lines(" " * indent + text, WIDTH, hanging)


def _lines(text: str, width: int, hanging: int = 0) -> list[str]:
    """Break text into lines, all but the first indented; a word that is longer than a line is broken too."""
    lines: list[str] = []
    line = text[: len(text) - len(text.lstrip())]
    start = len(line)
    for word in text.split():
        if len(line) > start and len(line) + 1 + len(word) > width:
            lines.append(line)
            line, start = " " * hanging, hanging
        line += f" {word}" if len(line) > start else word
        while len(line) > width:
            lines.append(line[:width])
            line, start = " " * hanging + line[width:], hanging
    return [*lines, line]
