"""The verdict on a bundle: every claim, every figure, and what both rest on (SPEC V10).

The verifier compiles the relation of every statement from its policy, and takes only proofs, commitments and
declarations from the prover. A proof or a file that does not hold raises an error instead of giving a verdict. Of the
others, a bundle is *verified* if every claim that a verdict on solvency needs was judged and passes:

    one statement about solvency at least, and each of them holds
    what holders are owed in every asset is within the declared reserves, with every debt disclosed
    the positions in every instrument add up to zero

A verdict is one frozen value of numbers with units; JSON (`data`, `encoded`) and text are renderings of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

from crossmargin_circuits.amounts import format_amount, format_time, unit_size
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.layout import Column, ColumnKind
from crossmargin_circuits.policy import Policy, PolicyKind, Role
from crossmargin_verifier.bundle.claim import Claim, Result, Topic
from crossmargin_verifier.bundle.coverage import (
    DisclosedDebt,
    coverage_claims,
    disclosed_debts,
    liability_claim,
    position_claims,
)
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves, Totals
from crossmargin_verifier.bundle.figures import (
    Amount,
    Asset,
    Exposure,
    File,
    Instrument,
    Relief,
    Reserves,
    Run,
    Share,
    Snapshot,
    Statement,
    plain_decimal,
)
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.solvency import entry_value_claims, insurance_fund, solvency_claims
from crossmargin_verifier.bundle.verdict_text import verdict_text
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.verify import VerifiedBook

__all__ = ["VERDICT_FORMAT", "Outcome", "Verdict", "judge"]

VERDICT_FORMAT = "crossmargin-verdict/2"

NOT_SHOWN = (
    "that every holder was included with an account of their own: one who was left out, or merged with others, notices "
    "only by checking a receipt",
    "that every account belongs to somebody: a venue may make accounts up, each of which satisfies every row by "
    "itself; what `amount` relieves one account of, it relieves each of them of",
    "that declared reserves and insurance fund exist, belong to the venue, are not borrowed for the day and not "
    "counted twice, or that debtors pay",
    "that the margin model is a good one, or that anything could be sold at its prices",
    "that arrays, quantum, units, names and titles are what they are called, and prices right: read the policy, and "
    "compute it again with `crossmargin policy check`",
    "that a contract is what it is called: a position is no deposit, and is worth what the asset that settles it is "
    "worth; look for assets of the venue's own in the shares of equity",
    "when the snapshot was taken, beyond the time at which its digest was published elsewhere, or what accounts held "
    "before and after it",
    "that everybody was shown this bundle: compare its digest with an independent publication",
)
"""What no bundle shows (SPEC section 11)."""

MAX_FORMULAS = 2**16
"""Characters of all formulas of a statement beyond which only policy.json has them."""


class Outcome(StrEnum):
    """The outcome of a check that reached a verdict; a bundle that is rejected has none."""

    VERIFIED = "verified"
    """Every claim that a verdict on solvency needs was judged and passes."""
    CLAIMS_OPEN = "verified, but claims fail or are not judged"
    """Every proof holds, and claims fail or are not judged."""


@dataclass(frozen=True)
class Verdict:
    """All claims about a bundle, its figures, and the digests to compare with an independent publication.

    headline: what holds for each account; venue: its own words; claims: in the order in which they are printed;
    digests: in hexadecimal, by name; compared: the names of those that were equal to expected ones; files: those that
    the verdict depends on, all listed in anchor.json; run: how the bundle was checked, no part of the verdict.
    """

    headline: str
    venue: str
    snapshot: Snapshot
    claims: tuple[Claim, ...]
    statements: tuple[Statement, ...]
    assets: tuple[Asset, ...]
    instruments: tuple[Instrument, ...]
    reserves: Reserves
    digests: Mapping[str, str]
    compared: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    run: Run | None = field(default=None, compare=False)

    @property
    def outcome(self) -> Outcome:
        """Whether every claim that needs it was judged and passes."""
        return Outcome.CLAIMS_OPEN if self.failed or self.open else Outcome.VERIFIED

    @property
    def failed(self) -> tuple[Claim, ...]:
        """The claims that fail."""
        return tuple(claim for claim in self.claims if claim.result is Result.FAIL)

    @property
    def open(self) -> tuple[Claim, ...]:
        """The claims that a verdict on solvency needs, and that nothing in the bundle judges."""
        return tuple(claim for claim in self.claims if claim.result is Result.OPEN)

    @property
    def data(self) -> dict[str, Any]:
        """The verdict as canonical-JSON data; docs/schema/verdict-2.json describes it."""
        return {
            "format": VERDICT_FORMAT,
            "outcome": str(self.outcome),
            **{each.name: _plain(getattr(self, each.name)) for each in fields(self)},
            "not_shown": list(NOT_SHOWN),
        }

    @property
    def encoded(self) -> bytes:
        """The bytes of `summary.json`."""
        return dump_canonical(self.data)

    @property
    def text(self) -> str:
        """The verdict for people, at most 80 columns wide; its last paragraph is the outcome."""
        return verdict_text(self, NOT_SHOWN)


def judge(
    manifest: BundleManifest, reserves: DeclaredReserves, book: VerifiedBook, statements: Sequence[JudgedStatement]
) -> Verdict:
    """Judge verified statements about one snapshot against the declarations.

    statements: at least one, in the order of the bundle.

    Raises:
        RejectedError: V10, the parts of the bundle are about different snapshots or venues, or count other accounts.
    """
    _check_subject(manifest, reserves, book, statements)
    columns, totals = statements[0].policy.layout.columns, book.totals
    debts = disclosed_debts(statements)
    claims: list[Claim] = []
    for each in statements:
        claims += _statement_claims(each, reserves, book)
    if all(each.policy.kind is not PolicyKind.SOLVENCY for each in statements):
        text = "no statement of the bundle says that equity covers the requirement"
        claims.insert(0, Claim(Topic.SOLVENCY, 0, "", Result.OPEN, text))
    claims += position_claims(statements, debts)
    assets = []
    held = {each.number: _held(each, totals) for each in statements}
    for name in dict.fromkeys(column.name for column in columns if column.kind is not ColumnKind.POSITION):
        asset, claim = _asset(name, columns, totals, debts.get(name), reserves, held)
        assets.append(asset)
        claims.append(claim)
    claims += _open_interest_claims(columns, totals)
    fund = insurance_fund(reserves)
    text = f"declared for {len(reserves.assets)} assets, with an insurance fund of {fund}; not part of any proof"
    claims.append(Claim(Topic.RESERVES, 0, "", Result.INFO, text))
    described = tuple(_statement(each, book, held[each.number]) for each in statements)
    return Verdict(
        headline=_headline(book.snapshot.accounts, claims, statements, fund),
        venue=manifest.venue,
        snapshot=Snapshot(
            id=book.snapshot.sid,
            as_of=format_time(book.snapshot.as_of),
            accounts=book.snapshot.accounts,
            rejected=manifest.rejected,
            shards=book.snapshot.shards,
            totals=str(manifest.totals),
        ),
        claims=tuple(claims),
        statements=described,
        assets=tuple(assets),
        instruments=tuple(
            Instrument(
                column.name,
                column.unit,
                column.settled,
                None if totals is None else Amount.in_column(totals[number], column),
            )
            for number, column in enumerate(columns)
            if column.kind is ColumnKind.POSITION
        ),
        reserves=Reserves(reserves.source, fund),
        digests={
            "snapshot": book.snapshot.digest.hex(),
            **{
                f"{each.name} {what}": digest.hex()
                for each in statements
                for what, digest in (
                    ("statement", each.verified.statement.digest),
                    ("policy", each.verified.statement.policy_digest),
                )
            },
            "receipt key": manifest.receipt_key.hex(),
        },
    )


def _check_subject(
    manifest: BundleManifest, reserves: DeclaredReserves, book: VerifiedBook, statements: Sequence[JudgedStatement]
) -> None:
    """Check that all parts of a bundle are about one snapshot of one venue, read alike (V10)."""
    if {manifest.snapshot_digest, reserves.snapshot_digest} != {book.snapshot.digest}:
        raise RejectedError("V10", "bundle.json or reserves.json is about another snapshot")
    if manifest.loaded != book.snapshot.accounts:
        text = f"bundle.json counts {manifest.loaded} accounts, and the snapshot commits to {book.snapshot.accounts}"
        raise RejectedError("V10", text)
    if (book.totals is not None) != (manifest.totals is Totals.OPENED):
        raise RejectedError("V10", "bundle.json says otherwise than its files whether totals are opened")
    for each in statements:
        if _read_as(each.policy) != _read_as(statements[0].policy):
            raise RejectedError("V10", f"the policy of {each.name} reads the columns otherwise than the first one")
        if each.policy.venue != manifest.venue:
            raise RejectedError("V10", f"the policy of {each.name} names another venue than bundle.json")


def _read_as(policy: Policy) -> list[tuple[str, ...]]:
    return [(column.kind, column.name, column.unit, column.settled) for column in policy.layout.columns]


def _statement_claims(each: JudgedStatement, reserves: DeclaredReserves, book: VerifiedBook) -> list[Claim]:
    judging = {
        PolicyKind.SOLVENCY: lambda: solvency_claims(each, reserves),
        PolicyKind.COVERAGE: lambda: coverage_claims(each),
        PolicyKind.CROWDING: lambda: _crowding_claims(each),
    }
    claims = judging[each.policy.kind]()
    if each.policy.as_of != book.snapshot.as_of:
        text = f"of {format_time(each.policy.as_of)}; the snapshot is of {format_time(book.snapshot.as_of)}"
        claims.append(Claim(Topic.PRICES, each.number, "", Result.INFO, text))
    if any(each.reliefs.values()):
        text = "each account is relieved of amounts, and so would be each account that is made up: see the statement"
        claims.append(Claim(Topic.AMOUNTS, each.number, "", Result.INFO, text))
    return claims


def _crowding_claims(each: JudgedStatement) -> list[Claim]:
    wrong = entry_value_claims(each)
    if each.verified.auxiliary_totals is None:
        text = "no total is opened, so nothing is said about exposures"
        return [Claim(Topic.CROWDING, each.number, "", Result.FAIL, text), *wrong]
    text = "the exposures of each account are counted in the disclosed totals, and none is set against another's"
    return [Claim(Topic.CROWDING, each.number, "", Result.PASS, text), *wrong]


class _Held(NamedTuple):
    """What the assets of the book are worth in the equity of a statement, at least and at most; quanta, by asset."""

    ends: Mapping[str, tuple[int, int]]
    least: int
    """Sum of what assets with a positive total are worth at least."""

    @property
    def most(self) -> int:
        """What equity counts at most, by the totals of balances and entry values: positions net to zero."""
        return sum(most for _, most in self.ends.values())


def _asset(
    name: str,
    columns: Sequence[Column],
    totals: Sequence[int] | None,
    debts: Sequence[DisclosedDebt] | None,
    reserves: DeclaredReserves,
    held: Mapping[int, _Held | None],
) -> tuple[Asset, Claim]:
    """Return the figures of an asset, and the claim on its liabilities; it may have a balance, entry values or both."""
    own = [n for n, c in enumerate(columns) if c.kind is not ColumnKind.POSITION and c.name == name]
    unit = columns[own[0]]
    declared = reserves.amount(name)
    shown = None if declared is None else Amount.of(declared, name)
    if totals is None:
        claim = liability_claim(name, unit, None, None, None, reserves)
        return Asset(name, None, None, None, None, None, shown, None, ()), claim
    by_kind = {columns[number].kind: Amount.in_column(totals[number], unit) for number in own}
    net = sum(totals[number] for number in own)
    # The least of the disclosed debts: each is an upper bound by itself.
    debt = min(debts or (), key=lambda each: each.total, default=None)
    owed = None if debt is None else debt.claim_on(totals) + debt.total
    ratio = None
    if owed is not None and owed > 0 and declared is not None:
        ratio = plain_decimal(Fraction(int(10000 * declared / (owed * unit_size(unit))), 10000))
    shares = ((number, _share(each, name)) for number, each in held.items())
    asset = Asset(
        asset=name,
        balances=by_kind.get(ColumnKind.BALANCE),
        entry_values=by_kind.get(ColumnKind.ENTRY),
        net=Amount.in_column(net, unit),
        debts=None if debt is None else Amount.in_column(debt.total, unit),
        owed=None if owed is None else Amount.in_column(owed, unit),
        reserves=shown,
        ratio=ratio,
        shares=tuple(Share(number, percent) for number, percent in shares if percent is not None),
    )
    return asset, liability_claim(name, unit, net, owed, debt, reserves)


def _held(each: JudgedStatement, totals: Sequence[int] | None) -> _Held | None:
    form = each.full_form
    if form is None or totals is None:
        return None
    ends: dict[str, tuple[int, int]] = {}
    for column, low, high, total in zip(each.policy.layout.columns, form.lowest, form.greatest, totals, strict=True):
        if column.kind is not ColumnKind.POSITION:
            least, most = ends.get(column.name, (0, 0))
            ends[column.name] = least + min(low * total, high * total), most + max(low * total, high * total)
    return _Held(ends, sum(least for least, _ in ends.values() if least > 0))


def _share(held: _Held | None, name: str) -> str | None:
    """Return the greatest share of what is held that an asset may be, in percent; None where nothing is held.

    The asset counts with its greatest coefficient, others with their least one, and debts of others not at all: a
    charge on what is owed in an asset, or a tier that nobody reaches, then hides no other asset.
    """
    if held is None:
        return None
    least, most = held.ends[name]
    own = max(0, most)
    whole = own + held.least - max(0, least)
    return None if whole <= 0 else plain_decimal(Fraction(round(Fraction(10000 * own, whole)), 100))


def _open_interest_claims(columns: Sequence[Column], totals: Sequence[int] | None) -> list[Claim]:
    """Check that the positions in every instrument add up to zero."""
    positions = [number for number, column in enumerate(columns) if column.kind is ColumnKind.POSITION]
    if not positions:
        return []
    if totals is None:
        text = "no total is opened, so nobody judges whether longs and shorts cancel"
        return [Claim(Topic.OPEN_INTEREST, 0, "", Result.OPEN, text)]
    claims = []
    for number in positions:
        if totals[number]:
            column = columns[number]
            text = f"{column.name} nets to {format_amount(totals[number] * unit_size(column))}: a side of a trade is "
            text += "missing from the book"
            claims.append(Claim(Topic.OPEN_INTEREST, 0, column.name, Result.FAIL, text))
    if claims:
        return claims
    text = f"longs and shorts cancel in all {len(positions)} instruments"
    return [Claim(Topic.OPEN_INTEREST, 0, "", Result.PASS, text)]


def _statement(each: JudgedStatement, book: VerifiedBook, held: _Held | None) -> Statement:
    policy, relation = each.policy, each.verified.relation
    formulas = tuple(map(str, (*policy.definitions, *policy.constraints)))

    def total(role: Role) -> Amount | None:
        for definition in policy.with_role(role):
            found = each.total(definition)
            return None if found is None else each.money(found)
        return None

    exposures = ((definition.name, each.total(definition)) for definition in policy.with_role(Role.EXPOSURE))
    return Statement(
        number=each.number,
        name=each.name,
        kind=str(policy.kind),
        title=policy.title,
        factor=each.factor,
        quantum=each.money(1),
        prices_of=format_time(policy.as_of),
        rows=len(relation.rows),
        auxiliaries=len(relation.auxiliaries),
        strict=policy.is_strict if policy.kind is PolicyKind.SOLVENCY else None,
        equity=None if held is None else each.money(held.most),
        requirement=total(Role.REQUIREMENT),
        shortfall=total(Role.SHORTFALL),
        exposures=tuple(Exposure(name, each.money(found)) for name, found in exposures if found is not None),
        reliefs=tuple(
            Relief(name, each.money(relief), each.money(relief * book.snapshot.accounts))
            for name, relief in each.reliefs.items()
        ),
        formulas=formulas if sum(map(len, formulas)) <= MAX_FORMULAS else (),
    )


def _headline(accounts: int, claims: Sequence[Claim], statements: Sequence[JudgedStatement], fund: Amount) -> str:
    """Return what is shown about each account, by theorem A and the claims."""
    who = "The one committed account, checked by its holder or not, "
    if accounts > 1:
        who = f"Each of the {accounts:,} committed accounts, checked by its holder or not, "
    judged = [claim for claim in claims if claim.topic is Topic.SOLVENCY]
    if not judged or any(claim.result is not Result.PASS for claim in judged):
        return f"{who}satisfies every row of every statement; that equity covers the requirement is not shown for all."
    lacking = []
    for each in statements:
        total = None if each.policy.shortfall is None else each.total(each.policy.shortfall)
        if total:
            lacking.append(f"{each.money(total)} by statement {each.number}")
    if not lacking:
        return f"{who}has equity that covers its requirement under every statement about solvency."
    return (
        f"{who}has equity that covers its requirement under every statement about solvency, or all that it lacks is "
        f"counted in a total shortfall of {' and '.join(lacking)}, within the declared insurance fund of {fund}."
    )


def _plain(value: Any) -> Any:
    """Return a value of a verdict as canonical-JSON data."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value
