"""A statement of a model, compiled, and checked as the verifier will check it, before any work on it (SPEC V2).

What is refused here would be refused after hours of proving: coefficients that can wrap around, and an equity without
a full form.
"""

from crossmargin.loading import Parameters
from crossmargin.models import build_policy
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.full_form import check_full_form
from crossmargin_prover.statement import StatementError, check_coefficients

__all__ = ["compile_statement"]


def compile_statement(
    parameters: Parameters, venue: str, name: str, accounts_per_shard: int, accounts: int
) -> CompiledPolicy:
    """Compile the statement of that name for a snapshot of so many accounts.

    venue: as the snapshot's report names it.

    Raises:
        InputError: the model gives no such statement at these prices.
        StatementError: no verifier would accept it; names the row or the column.
    """
    policy = build_policy(venue, parameters.environment, parameters.model, name)
    try:
        compiled = compile_policy(policy)
        if policy.equity is not None:
            check_full_form(policy)
        check_coefficients(compiled.relation, accounts_per_shard, accounts)
    except CrossmarginError as error:
        raise StatementError(f"statement {name}: {error}") from None
    return compiled
