"""The verdict on a bundle: the claims of the verified statements and totals (SPEC V10).

The verifier compiles the relation of every statement from its policy, and takes only proofs, commitments and
declarations from the prover. A claim passes, fails, or only informs; a bundle is verified if no claim fails. A proof
that does not hold raises an error instead of giving a verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from crossmargin_circuits.amounts import format_time
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.policy import Policy
from crossmargin_verifier.bundle.book_claims import count_claims, open_interest_claims
from crossmargin_verifier.bundle.claim import Claim, Result, line
from crossmargin_verifier.bundle.coverage import covered_assets, declaration_claim, liability_claims
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.solvency import states_solvency
from crossmargin_verifier.bundle.statement_claims import statement_claims
from crossmargin_verifier.protocol.errors import RejectedError

__all__ = ["Verdict", "judge"]

NOT_SHOWN = (
    "that every holder was included: only a holder who checks his receipt notices that he was left out",
    "that an account nobody checks is solvent on its own: of unchecked accounts the proof shows the rows of their sum",
    "that the declared reserves exist, belong to the venue, and are not borrowed for the day",
    "that the reserves could be sold at the prices of the policy, or that the margin model is a good one",
    "that risk arrays, quantum, names and title of a policy are what they are called, and its prices right: read it, "
    "and compute it again with `crossmargin policy check`",
    "that the insurance fund is not counted in the reserves as well, or that an account marked as padding owes nothing",
    "how many accounts there are: one that nobody checks may count as any number",
    "when the snapshot was taken, beyond the time at which its digest was published elsewhere",
    "that everybody was shown this bundle: compare the digests with an independent publication",
)
"""What no bundle shows (SPEC section 11)."""


MAX_WRAPPED = 2**20
"""Characters of all formulas beyond which they stand on one line each: wrapping takes more than a second for each."""


@dataclass(frozen=True)
class Verdict:
    """All claims about a bundle, and the digests that a reader must compare with an independent publication.

    claims: in the order in which they are printed; formulas: of the model, by statement; digests: in hexadecimal, by
    name; compared: the names of the compared digests.

    >>> claim = Claim("open interest", Result.FAIL, "net 3 BTC", "longs and shorts do not cancel")
    >>> verdict = Verdict("some-exchange", "book/1970", 0, (claim,), {}, {"snapshot": "5c2f"}, ())
    >>> verdict.verified
    False
    >>> print(verdict.text)
    some-exchange: snapshot book/1970 of 1970-01-01T00:00:00Z
    <BLANKLINE>
      FAIL  open interest  net 3 BTC
    ...
    Verdict: REJECTED
    <BLANKLINE>
    """

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
        short = sum(len(formula) for formulas in self.formulas.values() for formula in formulas) <= MAX_WRAPPED
        for name, formulas in self.formulas.items():
            lines += ["", f"Model of {name} (policy.json has the risk arrays)"]
            for formula in formulas:
                indented = f"  {formula}"
                lines += wrap(indented, 110, subsequent_indent="      ") if short else [indented]
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
) -> Verdict:
    """Judge verified statements about one snapshot against the declarations.

    statements: at least one, all about the same snapshot.

    Raises:
        RejectedError: V10, the parts of the bundle are about different snapshots or venues.
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

    claims: list[Claim] = []
    for each in statements:
        claims += statement_claims(each, reserves)
    if not any(states_solvency(each.policy) for each in statements):
        claims.append(
            Claim("solvency", Result.FAIL, "no statement", "no statement of the bundle is about margin solvency")
        )
    claims.append(declaration_claim(reserves))
    first = statements[0]
    if first.verified.totals is not None:
        claims += count_claims(manifest, first.verified.totals[0], snapshot.leaves)
        claims += liability_claims(reserves, columns, first.verified.totals, covered_assets(statements))
        claims += open_interest_claims(columns, first.verified.totals)
    return Verdict(
        venue=line(manifest.venue),
        snapshot_id=line(snapshot.sid),
        as_of=snapshot.as_of,
        claims=tuple(claims),
        formulas={each.name: _formulas(each.policy) for each in statements},
        digests={name: digest.hex() for name, digest in digests.items()},
        compared=(),
    )


def _formulas(policy: Policy) -> tuple[str, ...]:
    return tuple(map(str, (*policy.definitions, *policy.constraints)))
