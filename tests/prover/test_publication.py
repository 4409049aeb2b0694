"""What a venue does not publish by mistake: open claims, a second set of prices, what few accounts did."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.sparse import csr_array

from crossmargin.loading import load_folder
from crossmargin_prover import ClaimsOpenError, SecondPricesError, publish
from crossmargin_prover.backend import select_backend
from crossmargin_prover.cli import main
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.vault.publications import PublishedStatement
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.prices import check_prices
from crossmargin_prover.workflow.thin_changes import thin_changes
from crossmargin_verifier.bundle.anchor import Anchor
from crossmargin_verifier.bundle.verdict import Outcome

EXAMPLE = Path(__file__).parents[2] / "examples" / "small"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault of the small example with its coverage statement."""
    vault = tmp_path_factory.mktemp("publication") / "vault"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1)
    assert command("commit", *options).exit_code == 0
    assert command("prove", *options, "--statement", "coverage", "--packing", 0).exit_code == 0
    return vault


@pytest.fixture
def vault(proven: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proven, tmp_path / "vault"))


@pytest.fixture
def run(vault: Path, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that publishes the vault's statements into `bundle`."""

    def publishing(*options: object) -> Result:
        out = ("--out", tmp_path / "bundle", "--processes", 1)
        return command("publish", "--book", EXAMPLE, "--vault", vault, *out, *options)

    return publishing


def test_open_claims_are_published_on_demand_alone(run: Callable[..., Result], vault: Path, tmp_path: Path) -> None:
    """A bundle without a statement about margin leaves the claims of a solvency verdict open."""
    bundle = tmp_path / "bundle"
    refused = run()
    assert refused.exit_code == 1
    assert "--despite-claims publishes them anyway" in refused.stderr
    assert refused.stdout, "the verdict is shown, so that the venue knows which claims are open"
    assert not bundle.exists()
    assert Vault.open(vault).published == (), "what was not published is not logged"
    published = run("--despite-claims")
    assert published.exit_code == 4, published.stderr
    before = contents(bundle)
    assert run().exit_code == 1
    assert contents(bundle) == before, "the earlier bundle stays"
    with pytest.raises(ClaimsOpenError) as error:
        publish(load_folder(EXAMPLE), vault, bundle)
    assert error.value.verdict.outcome is Outcome.CLAIMS_OPEN
    assert contents(bundle) == before


def test_bundle_has_its_files_once_and_an_anchor_of_all(
    run: Callable[..., Result], vault: Path, tmp_path: Path
) -> None:
    result = run("--despite-claims")
    bundle = tmp_path / "bundle"
    files = contents(bundle)
    anchor = Anchor.decode(files["anchor.json"])
    unlisted = {"anchor.json", "anchor.sig", "summary.json", "summary.txt"}
    assert set(anchor.files) == set(files) - unlisted
    assert set(files) == unlisted | {
        "bundle.json", "reserves.json",
        *(f"snapshot/{name}.cm2" for name in ("columns", "snapshot", "positions", "totals", "records-000000")),
        "statements/coverage/policy.json",
        *(f"statements/coverage/{name}.cm2" for name in ("relation", "statement", "slack", "shard-000000")),
        "statements/coverage/auxtotals.cm2",
    }  # fmt: skip
    assert anchor.digest.hex() in result.stdout
    assert anchor.snapshot_digest == Vault.open(vault).load().manifest.digest
    (logged,) = Vault.open(vault).published
    assert (logged.name, logged.statement) == ("coverage", anchor.statements[0].statement_digest)
    assert json.loads(files["bundle.json"])["totals"] == "opened"


def published(name: str, policy: int, prices: int) -> PublishedStatement:
    return PublishedStatement(name, bytes([policy] * 32), bytes([policy] * 32), prices)


def test_second_prices_are_refused() -> None:
    log = [published("maintenance", 1, 100), published("coverage", 2, 100)]
    check_prices([], [published("maintenance", 1, 100)])
    check_prices(log, log)
    check_prices(log, [published("initial", 3, 100)])
    for now in (published("maintenance", 4, 100), published("maintenance", 4, 101), published("renamed", 4, 101)):
        with pytest.raises(SecondPricesError, match="--other-prices publishes them about this one"):
            check_prices(log, [*log, now])


def test_second_prices_are_published_on_demand(run: Callable[..., Result], vault: Path) -> None:
    assert run("--despite-claims").exit_code == 4
    assert run("--despite-claims").exit_code == 4, "the same statement again is no second view"
    opened = Vault.open(vault)
    (logged,) = opened.published
    (vault / "snapshot" / "published.json").unlink()
    opened.log_published([replace(logged, policy=bytes(32), statement=bytes(32))])
    refused = run("--despite-claims")
    assert refused.exit_code == 1
    assert (
        "refused: statement coverage at the prices of 2025-03-28T08:00:00Z would be the second view" in refused.stderr
    )
    assert run("--despite-claims", "--other-prices").exit_code == 4
    assert {each.policy for each in opened.published} == {bytes(32), logged.policy}


def committed(holders: dict[str, tuple[int, ...]], labels: tuple[str, ...]) -> CommittedSnapshot:
    records = csr_array(np.array(list(holders.values()), dtype=np.int64))
    return commit_snapshot(
        "venue/book/1970", 0, labels, records, list(holders), 4, SystemRandomness(), select_backend()
    )


def test_columns_that_few_accounts_changed_are_named() -> None:
    """One deposit between two snapshots shows exactly in the totals of both."""
    labels = ("balance USD [0.01 USD]", "balance BTC [0.00000001 BTC]", "balance ETH [0.00000001 ETH]")
    before = {f"holder-{number}": (100, number, 0) for number in range(12)}
    after = {holder: (record[0] + 1, *record[1:]) for holder, record in before.items()}
    after["holder-3"] = (101, 3, 7)
    del after["holder-5"]
    after["newcomer"] = (5, 0, 0)
    earlier, later = committed(before, labels), committed(after, labels)
    assert thin_changes(earlier, later) == [
        "balance BTC [0.00000001 BTC]: accounts that changed it: 1",
        "balance ETH [0.00000001 ETH]: accounts that changed it: 1",
    ]
    assert thin_changes(later, later) == []
    moved = committed({holder: record[::-1] for holder, record in after.items()}, labels[::-1])
    assert thin_changes(later, moved) == [], "accounts and columns are compared by name, whatever their order"


def test_few_changes_since_the_published_snapshot_are_a_warning(
    run: Callable[..., Result], vault: Path, tmp_path: Path
) -> None:
    book = Path(shutil.copytree(EXAMPLE, tmp_path / "book"))
    market = (book / "market.yaml").read_text(encoding="utf-8").replace("T08:00", "T09:00").replace("T07:59", "T08:59")
    (book / "market.yaml").write_text(market, encoding="utf-8")
    balances = (book / "balances.csv").read_text(encoding="utf-8").splitlines()
    assert balances[1] == "acct-a,,USDC,40000"
    balances[1] = "acct-a,,USDC,40001"
    (book / "balances.csv").write_text("\n".join(balances) + "\n", encoding="utf-8")
    options = ("--book", book, "--vault", tmp_path / "later", "--processes", 1)
    assert command("prove", *options, "--since", vault, "--statement", "coverage", "--packing", 0).exit_code == 0
    publishing = ("publish", *options, "--out", tmp_path / "next", "--since", vault, "--despite-claims")
    quiet = command(*publishing)
    assert quiet.exit_code == 4, quiet.stderr
    assert "few accounts changed" not in quiet.stderr, "the earlier snapshot was not published"
    assert run("--despite-claims").exit_code == 4
    warned = command(*publishing)
    assert f"warning: few accounts changed since {vault}: balance USDC " in warned.stderr
    assert "accounts that changed it: 1" in warned.stderr
