"""The verdict on a bundle: what the verified statements and totals say, claim by claim (SPEC V10).

The relation of every statement is compiled from its policy; nothing is taken from the prover but proofs, commitments
and declarations. A claim passes, fails, or only informs; a bundle is verified when no claim fails. A proof that does
not hold raises instead: there is no verdict about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from textwrap import wrap
from typing import Any

from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.expression import Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind
from crossmargin_circuits.policy import Definition, Policy, Role
from crossmargin_verifier.amounts import format_amount, format_time, format_units, unit_size
from crossmargin_verifier.bundle import BundleManifest, DeclaredReserves
from crossmargin_verifier.errors import RejectedError
from crossmargin_verifier.verify import VerifiedStatement

__all__ = ["Claim", "JudgedStatement", "Result", "Verdict", "judge"]

NOT_SHOWN = (
    "that every holder was included: only a holder who checks his receipt notices that he was left out",
    "that an account nobody checks is solvent on its own: of unchecked accounts the proof shows the rows of their sum",
    "that the declared reserves exist, belong to the venue, and are not borrowed for the day",
    "that the reserves could be sold at the prices of the policy, or that the margin model is a good one",
    "that the prices in the policy are right: compute the risk arrays again with `crossmargin policy check`",
    "when the snapshot was taken, beyond the time at which its digest was published elsewhere",
    "that everybody was shown this bundle: compare the digests with an independent publication",
)
"""What no bundle shows (SPEC section 11)."""


class Result(StrEnum):
    """How a claim came out; INFO is a figure that is shown and not judged."""

    PASS = "PASS"  # noqa: S105 - the word, not a secret
    FAIL = "FAIL"
    INFO = "INFO"


@dataclass(frozen=True)
class Claim:
    """One line of the verdict: what was looked at, how it came out, the figures, and what that means."""

    name: str
    result: Result
    figures: str
    meaning: str


@dataclass(frozen=True)
class JudgedStatement:
    """A verified statement with the name of its folder and its compiled policy."""

    name: str
    compiled: CompiledPolicy
    verified: VerifiedStatement

    @property
    def policy(self) -> Policy:
        """The policy of the statement."""
        return self.compiled.policy


@dataclass(frozen=True)
class Verdict:
    """All claims about a bundle, and the digests that a reader must compare with an independent publication."""

    venue: str
    snapshot_id: str
    as_of: int
    claims: tuple[Claim, ...]
    formulas: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]
    compared: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether no claim fails."""
        return all(claim.result is not Result.FAIL for claim in self.claims)

    @property
    def data(self) -> dict[str, Any]:
        """The verdict as canonical-JSON data."""
        return {
            "format": "crossmargin-verdict/1",
            "venue": self.venue,
            "snapshot": {"id": self.snapshot_id, "as_of": format_time(self.as_of)},
            "verified": self.verified,
            "claims": [
                {"claim": c.name, "result": str(c.result), "figures": c.figures, "meaning": c.meaning}
                for c in self.claims
            ],
            "formulas": {name: list(lines) for name, lines in self.formulas.items()},
            "digests": dict(self.digests),
            "compared": list(self.compared),
            "not shown": list(NOT_SHOWN),
        }

    @property
    def encoded(self) -> bytes:
        """The bytes of `summary.json`."""
        return dump_canonical(self.data)

    @property
    def text(self) -> str:
        """The verdict for people: table, digests, and what it does not show."""
        lines = [f"{self.venue}: snapshot {self.snapshot_id} of {format_time(self.as_of)}", ""]
        width = max(len(claim.name) for claim in self.claims)
        for claim in self.claims:
            lines.append(f"  {claim.result}  {claim.name:{width}}  {claim.figures}")
            lines.append(f"        {'':{width}}{claim.meaning}")
        for name, formulas in self.formulas.items():
            lines += ["", f"Model of {name} (policy.json has the risk arrays)"]
            for formula in formulas:
                lines += wrap(formula, 110, initial_indent="  ", subsequent_indent="      ")
        lines += ["", "Digests and key (compare with an independent publication)"]
        width = max(len(name) for name in self.digests)
        for name, digest in self.digests.items():
            lines.append(f"  {name:{width}}  {digest}{'  compared: equal' if name in self.compared else ''}")
        left = [name for name in self.digests if name not in self.compared]
        if left:
            lines += wrap(f"Not compared: {', '.join(left)}.", 110, initial_indent="  ", subsequent_indent="      ")
            lines.append("  A verdict without the comparison says only that the bundle agrees with itself.")
        lines += ["", "What this does not show"]
        lines += [f"  - {text}" for text in NOT_SHOWN]
        lines += ["", f"Verdict: {'VERIFIED' if self.verified else 'REJECTED'}"]
        return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + "\n"


def judge(
    manifest: BundleManifest,
    reserves: DeclaredReserves,
    statements: Sequence[JudgedStatement],
    expected: Mapping[str, bytes],
) -> Verdict:
    """Judge verified statements about one snapshot against the declarations.

    statements: at least one, all about the same snapshot. expected: digests from an independent publication, by the
    names that the verdict prints ("snapshot", "maintenance statement", ..., "receipt key").

    Raises:
        RejectedError: V10, the parts of the bundle are about different snapshots or venues, or an expected digest
            differs or belongs to nothing in the bundle.
    """
    snapshot = statements[0].verified.snapshot
    if {manifest.snapshot_digest, reserves.snapshot_digest} != {snapshot.digest}:
        raise RejectedError("V10", "bundle.json or reserves.json is about another snapshot")
    columns = statements[0].policy.layout.columns
    for each in statements:
        if [(c.kind, c.name, c.unit) for c in each.policy.layout.columns] != [
            (c.kind, c.name, c.unit) for c in columns
        ]:
            raise RejectedError("V10", f"the policy of {each.name} reads the columns otherwise than the first one")
        if each.policy.venue != manifest.venue:
            raise RejectedError("V10", f"the policy of {each.name} names another venue than bundle.json")
    digests = {"snapshot": snapshot.digest}
    for each in statements:
        digests[f"{each.name} statement"] = each.verified.statement.digest
        digests[f"{each.name} policy"] = each.policy.digest
    digests["receipt key"] = manifest.receipt_key
    for name, digest in expected.items():
        if name not in digests:
            raise RejectedError("V10", f"the bundle has no {name} to compare the expected digest with")
        if digests[name] != digest:
            raise RejectedError("V10", f"{name}: expected {digest.hex()}, found {digests[name].hex()}")

    claims: list[Claim] = []
    for each in statements:
        claims += _statement_claims(each, reserves)
    claims.append(_declaration_claim(reserves))
    first = statements[0]
    if first.verified.totals is not None:
        claims += _book_claims(manifest, reserves, columns, first.verified.totals, snapshot.leaves)
    return Verdict(
        venue=manifest.venue,
        snapshot_id=snapshot.sid,
        as_of=snapshot.as_of,
        claims=tuple(claims),
        formulas={each.name: _formulas(each.policy) for each in statements},
        digests={name: digest.hex() for name, digest in digests.items()},
        compared=tuple(name for name in digests if name in expected),
    )


def _formulas(policy: Policy) -> tuple[str, ...]:
    return tuple(map(str, (*policy.definitions, *policy.constraints)))


def _statement_claims(each: JudgedStatement, reserves: DeclaredReserves) -> list[Claim]:
    verified, policy = each.verified, each.policy
    relation = verified.relation
    shards = verified.snapshot.shards
    claims = [
        Claim(
            each.name,
            Result.PASS,
            f"{policy.title}: {len(relation.rows)} rows, {len(relation.auxiliaries)} auxiliaries, "
            f"{shards} shard{'s' if shards > 1 else ''}, prices of {format_time(policy.as_of)}",
            "every row holds for each account whose holder checks it, and for all others together; no position is seen",
        )
    ]
    for row, weight in verified.offsets:
        claims.append(
            Claim(
                f"{each.name}: offset",
                Result.INFO,
                f"row {row!r}: {weight}",
                "weakens the row over the book by this much",
            )
        )
    if policy.with_role(Role.REQUIREMENT) and not (policy.with_role(Role.SHORTFALL) or policy.constraints):
        claims.append(
            Claim(
                f"{each.name}: solvency",
                Result.FAIL,
                "no shortfall is opened and no constraint is stated",
                "the policy computes a requirement and does not say that equity covers it",
            )
        )
    if not verified.book_statement_shown:
        claims.append(
            Claim(
                f"{each.name}: totals",
                Result.FAIL,
                "not in the bundle",
                "nothing is shown about the book as a whole, nor the totals that this statement would open",
            )
        )
    quantum = Fraction(policy.value_unit.quantum)
    currency = policy.value_unit.currency
    opened = dict(zip(relation.disclosed, verified.auxiliary_totals or (), strict=False))
    for definition in policy.definitions:
        if not definition.role.is_disclosed or verified.auxiliary_totals is None:
            continue
        # By number: labels are for people.
        total = opened[each.compiled.auxiliary_of[definition.name]]
        amount = f"{format_amount(total * quantum)} {currency}"
        if definition.role is Role.REQUIREMENT:
            claims.append(Claim(f"{each.name}: requirement", Result.INFO, f"total {amount}", "sum of all requirements"))
        elif definition.role is Role.SHORTFALL:
            fund = Fraction(reserves.insurance_fund)
            covered = reserves.currency == currency and total * quantum <= fund
            stated = _is_requirement_less_equity(policy, definition)
            claims.append(
                Claim(
                    f"{each.name}: shortfall",
                    Result.PASS if covered and stated else Result.FAIL,
                    f"total {amount}, insurance fund {format_amount(fund)} {reserves.currency}",
                    "what all accounts together lack to their requirement is within the insurance fund"
                    if stated
                    else f"the shortfall of the policy is not requirement - equity: {definition}",
                )
            )
        elif definition.role is Role.DEBT:
            claims.append(_debt_claim(each, definition, total))
    return claims


def _is_requirement_less_equity(policy: Policy, shortfall: Definition) -> bool:
    """Return whether the shortfall is defined as the policy's requirement less its equity."""
    match shortfall.expression:
        case Sum((Reference(first), Scale(-1, Reference("equity")))):
            return policy.definition(first).role is Role.REQUIREMENT
    return False


def _has_debt_row(compiled: CompiledPolicy, column: int, debt: Definition) -> bool:
    """Return whether a row says balance + debt >= 0 and nothing else (SPEC 10.4)."""
    auxiliary = compiled.auxiliary_of[debt.name]
    relation = compiled.relation
    base = tuple(int(number == column) for number in range(len(relation.columns)))
    helper = tuple(int(number == auxiliary) for number in range(len(relation.auxiliaries)))
    return any((row.base, row.auxiliary, row.offset) == (base, helper, 0) for row in relation.rows)


def _debt_claim(each: JudgedStatement, definition: Definition, debt: int) -> Claim:
    asset = definition.subject
    column = _column(each.policy.layout.columns, ColumnKind.BALANCE, asset)
    name = f"{each.name}: debt {asset}"
    if column is None or each.verified.totals is None:
        return Claim(name, Result.FAIL, f"total {debt}", f"the policy has no balance of {asset}, or totals are missing")
    number = each.policy.layout.columns.index(column)
    if not _has_debt_row(each.compiled, number, definition):
        return Claim(name, Result.FAIL, f"total {debt}", f"the policy has no row balance + debt >= 0 for {asset}")
    net = each.verified.totals[number]
    return Claim(
        name,
        Result.INFO,
        f"borrowed {format_units(debt, column)}, balances owed at most {format_units(net + debt, column)}",
        "positive balances of checked accounts are at most this; the borrowed part rests on debtors",
    )


def _book_claims(
    manifest: BundleManifest,
    reserves: DeclaredReserves,
    columns: Sequence[Column],
    totals: Sequence[int],
    leaves: int,
) -> list[Claim]:
    held = list(zip(columns, totals, strict=True))
    accounts = totals[0]
    counted = manifest.loaded == accounts and manifest.loaded + manifest.padding == leaves
    claims = [
        Claim(
            "accounts",
            Result.PASS if counted else Result.FAIL,
            f"{accounts} committed, {leaves - accounts} padding; venue says {manifest.loaded} loaded, "
            f"{manifest.padding} padding, {manifest.rejected} rejected",
            "the opened number of accounts is the one the venue reports",
        )
    ]
    owed: dict[str, Fraction] = {}
    for column, total in held:
        if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY):
            owed[column.name] = owed.get(column.name, Fraction(0)) + total * unit_size(column)
    claims += [_liability_claim(asset, amount, reserves) for asset, amount in owed.items()]
    positions = [(column, total) for column, total in held if column.kind is ColumnKind.POSITION]
    open_ones = [(column, total) for column, total in positions if total]
    for column, total in open_ones:
        claims.append(
            Claim(
                f"open interest {column.name}",
                Result.FAIL,
                f"net {format_units(total, column)}",
                "longs and shorts do not cancel: a side of a trade is missing from the book",
            )
        )
    if positions and not open_ones:
        claims.append(
            Claim(
                "open interest",
                Result.PASS,
                f"net zero in all {len(positions)} instruments",
                "longs and shorts cancel: no side of a trade is missing from the book",
            )
        )
    return claims


def _declaration_claim(reserves: DeclaredReserves) -> Claim:
    fund = f"{format_amount(Fraction(reserves.insurance_fund))} {reserves.currency}"
    return Claim(
        "reserves",
        Result.INFO,
        f"declared for {len(reserves.assets)} assets, insurance fund {fund}, source: {reserves.source}",
        "what the venue declares; nothing here shows that it has it",
    )


def _liability_claim(asset: str, owed: Fraction, reserves: DeclaredReserves) -> Claim:
    declared = reserves.amount(asset)
    shown = "none declared" if declared is None else f"{format_amount(declared)} {asset}"
    covered = owed <= 0 or (declared is not None and owed <= declared)
    return Claim(
        f"liabilities {asset}",
        Result.PASS if covered else Result.FAIL,
        f"owed {format_amount(owed)} {asset}, reserves {shown}",
        "balances net of debts plus entry values (unrealized PnL, as open interest cancels) are within reserves",
    )


def _column(columns: Sequence[Column], kind: ColumnKind, name: str) -> Column | None:
    return next((column for column in columns if column.kind is kind and column.name == name), None)
