"""One set of prices a snapshot: each further one shows the same records from another side.

With enough of them, the disclosed totals at many prices give away the positions of single accounts.
"""

from collections.abc import Sequence

from crossmargin_circuits.amounts import format_time
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.vault.publications import PublishedStatement

__all__ = ["SecondPricesError", "check_prices"]


class SecondPricesError(CrossmarginError):
    """A snapshot would be published at a second set of prices, or a statement under a second policy."""


def check_prices(published: Sequence[PublishedStatement], now: Sequence[PublishedStatement]) -> None:
    """Refuse statements about a snapshot at other prices, or under another policy, than those published before.

    published: the log of the vault; now: what is to be published. A further statement at the same prices is accepted.

    Raises:
        SecondPricesError: names the first such statement and the time of the published prices.
    """
    policies = {each.policy for each in published}
    names = {each.name for each in published}
    times = {each.prices for each in published}
    for each in now:
        if not published or each.policy in policies:
            continue
        if each.name in names or each.prices not in times:
            earlier = ", ".join(map(format_time, sorted(times)))
            raise SecondPricesError(
                f"statement {each.name} at the prices of {format_time(each.prices)} would be the second view of a "
                f"snapshot that was published at those of {earlier}: its totals would tell more about single accounts. "
                "Prove new prices about a later snapshot; --other-prices publishes them about this one"
            )
