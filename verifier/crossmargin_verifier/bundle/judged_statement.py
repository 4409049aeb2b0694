"""A verified statement as the claims of a verdict read it: with the name of its folder and its compiled policy."""

from dataclasses import dataclass
from functools import cached_property

from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.policy import Policy, Role
from crossmargin_verifier.bundle.account_free import AccountFree, Charges
from crossmargin_verifier.protocol.verify import VerifiedStatement

__all__ = ["JudgedStatement"]


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

    @cached_property
    def equity_charges(self) -> Charges:
        """The charge of a solvency statement's equity for owing a unit of each column."""
        return AccountFree(self.policy, range(1, len(self.policy.layout))).charges(Reference("equity"), 1)

    @cached_property
    def credited(self) -> list[str]:
        """What a made-up number of accounts makes as large as wanted: equity less requirement, or a constraint."""
        free = AccountFree(self.policy)
        judged = [(each.name, each.expression, -1) for each in self.policy.with_role(Role.SHORTFALL)]
        judged += [(each.name, each.expression, 1) for each in self.policy.constraints]
        return [name for name, expression, sign in judged if free.charges(expression, sign).free is None]
