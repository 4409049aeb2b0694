"""The whole way from Python: steps, their results and every refusal, without a command line and a subprocess."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import crossmargin as cm
from crossmargin.loading import Inputs, load_folder
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.policy import POLICY_FILE
from crossmargin_prover import (
    ChangedInputError,
    InsolventError,
    OrderError,
    Run,
    SigningKey,
    Vault,
    VaultError,
    commit,
    deliver,
    pipeline,
    prove,
    publish,
    select_backend,
)
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.statement import BEGUN
from crossmargin_prover.workflow.commit import Committed
from crossmargin_prover.workflow.deliver import Delivered
from crossmargin_prover.workflow.prove import unproven
from crossmargin_prover.workflow.proven import Proven
from crossmargin_prover.workflow.publish import Published
from crossmargin_verifier.bundle.anchor import ANCHOR_FILE
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.check_receipt import check_receipt
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.protocol.manifests import STATEMENT_FILE, TOTALS_FILE

SMALL = Path(__file__).parents[2] / "examples" / "small"
RUN = Run(shard=4, packing=0)
"""Two shards, short openings."""

PLAIN = replace(RUN, backend=ReferenceBackend(), shard=None)
"""Plain Python, where re-randomizing always pays."""


def only(inputs: Inputs, *names: str) -> Inputs:
    """The book with some statements of its model."""
    statements = tuple(each for each in inputs.model.statements if each.name in names)
    return replace(inputs, model=inputs.model.model_copy(update={"statements": statements}))


def hours_later(inputs: Inputs, hours: int = 1) -> Inputs:
    as_of = inputs.market.as_of + timedelta(hours=hours)
    return replace(inputs, market=inputs.market.model_copy(update={"as_of": as_of}))


@pytest.fixture(scope="module")
def book() -> Inputs:
    return only(load_folder(SMALL), "coverage")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """An hour later one account has another balance."""
    folder = Path(shutil.copytree(SMALL, tmp_path_factory.mktemp("changed") / "book"))
    balances = folder / "balances.csv"
    balances.write_text(balances.read_text(encoding="utf-8").replace("65000", "65001"), encoding="utf-8")
    return hours_later(only(load_folder(folder), "coverage"))


@pytest.fixture(scope="module")
def venue(book: Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder with vault, bundle and receipts, and the results of the steps."""
    root = tmp_path_factory.mktemp("venue")
    steps = pipeline(book, root / "vault", str(root / "bundle"), root / "receipts", RUN, despite_claims=True)
    return root, list(steps)


@pytest.fixture
def root(venue: tuple[Path, list[Any]], tmp_path: Path) -> Path:
    """A copy of the venue's folder that a test may change."""
    return Path(shutil.copytree(venue[0], tmp_path / "venue"))


def test_steps_are_values(venue: tuple[Path, list[Any]], book: Inputs) -> None:
    root, (committed, proven, published, delivered) = venue
    assert isinstance(committed, Committed)
    assert (committed.found, committed.reused, committed.recommitted, committed.rerandomized) == (False,) * 2 + (
        "",
        False,
    )
    assert (committed.new, committed.report.loaded, committed.snapshot.manifest.accounts) == (5, 5, 5)
    assert proven == Proven("coverage", root / "vault" / "statements" / "coverage")
    assert isinstance(published, Published)
    assert published.digest == hashlib.sha256((root / "bundle" / ANCHOR_FILE).read_bytes()).digest()
    # The coverage statement alone says nothing of solvency; it is published on demand.
    assert check_bundle(root / "bundle").outcome is published.verdict.outcome is Outcome.CLAIMS_OPEN
    assert delivered == Delivered(root / "receipts", 5)
    index = json.loads((root / "receipts" / "index.json").read_bytes())["receipts"]
    check_receipt(root / "receipts" / f"{index['acct-a']}.json", "acct-a", bundle=root / "bundle")
    with pytest.raises(FrozenInstanceError):
        published.warnings = ()
    with pytest.raises(FrozenInstanceError):
        RUN.shard = 2  # type: ignore[misc]


def test_results_show_no_secret(venue: tuple[Path, list[Any]], book: Inputs) -> None:
    root, results = venue
    vault = Vault.open(root / "vault")
    shown = " ".join(map(repr, [*results, vault, vault.signing_key, RUN, book]))
    secrets = [vault.signing_key.secret_bytes().hex(), str(vault.signing_key.secret_bytes()), vault.naming_key.hex()]
    for secret in (*secrets, *book.book.accounts, "65000"):
        assert secret not in shown


def test_second_run_finds_everything(root: Path, book: Inputs) -> None:
    lines: list[str] = []
    run = replace(RUN, log=lines.append)
    steps = list(pipeline(book, root / "vault", root / "bundle", root / "receipts", run, despite_claims=True))
    committed, published, delivered = steps
    assert isinstance(committed, Committed)
    assert committed.found
    assert committed.new == 0
    assert isinstance(published, Published)
    assert isinstance(delivered, Delivered)
    assert lines == [f"warning: {each}" for each in published.warnings]
    assert any("balance SOL" in each and each.endswith(": 1") for each in published.warnings)


def test_steps_one_by_one_take_a_loaded_book_and_paths_as_text(tmp_path: Path) -> None:
    book = cm.load(SMALL)
    stages: list[tuple[str, int, int]] = []
    lines: list[str] = []
    run = Run(packing=0, progress=lambda *stage: stages.append(stage), log=lines.append)
    committed = commit(book, str(tmp_path / "vault"), run)
    assert unproven(book, str(tmp_path / "vault"), run) == ("maintenance", "initial", "coverage")
    (proven,) = prove(book, str(tmp_path / "vault"), "coverage", run)
    assert unproven(book, str(tmp_path / "vault"), run) == ("maintenance", "initial")
    assert unproven(book, str(tmp_path / "vault"), replace(run, packing=1)) == ("maintenance", "initial", "coverage")
    assert proven.manifest.snapshot_digest == committed.digest
    published = publish(book, str(tmp_path / "vault"), str(tmp_path / "bundle"), run=run, despite_claims=True)
    assert published.verdict.outcome is Outcome.CLAIMS_OPEN
    written = deliver(str(tmp_path / "vault"), str(tmp_path / "receipts"), "acct-b")
    assert written.receipts == 1
    assert lines[0] == "statement coverage"
    assert {stage for stage, done, total in stages if done == total} >= {
        "commit positions",
        "prove records",
        "evaluate",
        "prove shards",
    }


def test_warnings_are_about_what_is_published(root: Path, book: Inputs) -> None:
    """A statement that stays in the vault discloses nothing."""
    every = load_folder(SMALL)
    prove(hours_later(every), root / "vault", ["maintenance"], RUN)
    run = {"run": RUN, "despite_claims": True, "other_prices": True}
    both = publish(every, root / "vault", root / "both", **run)
    assert "the proven statements are about prices of different times" in both.warnings
    assert any("maintenance, shortfall" in each for each in both.warnings)
    alone = publish(every, root / "vault", root / "alone", "coverage", **run)
    assert not any("maintenance" in each or "different times" in each for each in alone.warnings)


# Executors of the caller.


@pytest.fixture(params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made: Executor = (
        ThreadPoolExecutor(2) if request.param == "threads" else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    )
    with made:
        yield made


def test_any_executor_does_the_work(book: Inputs, tmp_path: Path, executor: Executor) -> None:
    submitted = []
    submit = executor.submit

    def counted(function: Any, /, *arguments: Any, **options: Any) -> Any:
        submitted.append(function.__name__)
        return submit(function, *arguments, **options)

    executor.submit = counted  # type: ignore[method-assign]
    run = Run(executor=executor, shard=4, packing=0)
    published = [
        step
        for step in pipeline(book, tmp_path / "v", tmp_path / "b", run=run, despite_claims=True)
        if isinstance(step, Published)
    ]
    assert check_bundle(tmp_path / "b").outcome is published[0].verdict.outcome
    assert {"_commit_shard", "_prove_records", "commit_slack_rows", "_prove_shard"} <= set(submitted)


# Interrupted runs.


class StoppedError(Exception):
    """Stands for the end of the process."""


def stop_at(stage: str, done: int) -> Run:
    def progress(at: str, so_far: int, total: int) -> None:
        if (at, so_far) == (stage, done):
            raise StoppedError

    return replace(RUN, progress=progress)


@pytest.mark.parametrize("stage", ["commit positions", "prove records", "commit slacks", "prove shards"])
def test_interrupted_run_is_finished_by_the_same_call(book: Inputs, tmp_path: Path, stage: str) -> None:
    vault, bundle = tmp_path / "vault", tmp_path / "bundle"
    with pytest.raises(StoppedError):
        list(pipeline(book, vault, bundle, run=stop_at(stage, 4)))
    kept = {path: path.read_bytes() for path in vault.rglob("*-00000*")}
    assert kept
    assert not bundle.exists()
    seen: list[tuple[str, int]] = []
    run = replace(RUN, progress=lambda at, done, total: seen.append((at, done)))
    steps = list(pipeline(book, vault, bundle, run=run, despite_claims=True))
    assert isinstance(steps[-1], Published)
    assert check_bundle(bundle).outcome is Outcome.CLAIMS_OPEN
    assert next(done for at, done in seen if at == stage) == 4
    assert all(path.read_bytes() == data for path, data in kept.items() if path.exists())


def test_interrupted_proof_goes_on_with_the_same_input_alone(book: Inputs, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    commit(book, vault, RUN)
    with pytest.raises(StoppedError):
        prove(book, vault, run=stop_at("commit slacks", 4))
    for other, run in ((hours_later(book), RUN), (book, replace(RUN, packing=1))):
        with pytest.raises(ChangedInputError, match="discard it"):
            prove(other, vault, run=run)
    prove(hours_later(book), vault, run=RUN, restart=True)
    assert BEGUN not in Vault.open(vault).work("coverage")


def test_interrupted_commitment_goes_on_with_the_same_input_alone(book: Inputs, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with pytest.raises(StoppedError):
        commit(book, vault, stop_at("commit positions", 4))
    for other, run in ((hours_later(book), RUN), (book, replace(RUN, shard=8))):
        with pytest.raises(ChangedInputError, match="begun with other"):
            commit(other, vault, run)
    for step in (prove, publish):
        with pytest.raises(VaultError, match="unfinished snapshot"):
            step(book, vault, tmp_path / "bundle") if step is publish else step(book, vault)  # type: ignore[operator]
    commit(book, vault, RUN)


# A later snapshot.


def test_later_snapshot_is_reused_or_rerandomized(root: Path, book: Inputs, changed: Inputs, tmp_path: Path) -> None:
    same = commit(hours_later(book), tmp_path / "same", PLAIN, since=root / "vault")
    assert same.reused
    assert same.digest == Vault.open(root / "vault").load().manifest.digest
    assert same.new == 0
    other = commit(changed, tmp_path / "other", PLAIN, since=str(root / "vault"))
    assert (other.rerandomized, other.unchanged, other.changed, other.new) == (True, 4, 1, 0)
    assert other.snapshot.manifest.accounts_per_shard == 4
    again = commit(changed, tmp_path / "other", RUN, since=root / "vault")
    assert (again.found, again.digest) == (True, other.digest)


def test_backend_says_from_when_rerandomizing_pays(root: Path, changed: Inputs, tmp_path: Path) -> None:
    class Costly(ReferenceBackend):
        costs = replace(ReferenceBackend.costs, rerandomize_entries=100)

    made = commit(changed, tmp_path / "new", replace(PLAIN, backend=Costly()), since=root / "vault")
    assert made.recommitted == "with records this short it is faster than re-randomizing"
    assert (made.rerandomized, made.new) == (False, 5)


def test_earlier_vaults_that_are_refused(root: Path, book: Inputs, changed: Inputs, tmp_path: Path) -> None:
    vault = root / "vault"
    for since, reason in (
        (tmp_path / "new", "names this vault itself"),
        (tmp_path / "none", "no committed snapshot"),
    ):
        with pytest.raises(VaultError, match=reason):
            commit(changed, tmp_path / "new", RUN, since=since)
    for not_later in (book, hours_later(changed, -1), hours_later(changed, -2), hours_later(book, -1)):
        with pytest.raises(OrderError, match=r"as_of of market\.yaml must be later"):
            commit(not_later, tmp_path / "new", RUN, since=vault)
    with pytest.raises(VaultError, match="leave --signing-key out"):
        commit(hours_later(book), tmp_path / "new", RUN, since=vault, signing_key=SigningKey.generate())
    assert not (tmp_path / "new").exists()
    assert commit(hours_later(book), tmp_path / "new", RUN, since=vault).reused


# What each step refuses.


def test_sizes_that_do_not_exist_are_misuse() -> None:
    for shard in (0, -1, 3, 1000, 2**21):
        with pytest.raises(ValueError, match=f"{shard} accounts per shard: must be a power of two"):
            Run(shard=shard)
    for packing in (-1, 5):
        with pytest.raises(ValueError, match=f"packing {packing}: must be from 0 to 4"):
            Run(packing=packing)


def test_finished_vault_is_that_of_one_book(root: Path, book: Inputs, changed: Inputs, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("11" * 32, encoding="utf-8")
    with pytest.raises(VaultError, match="the finished snapshot of other accounts"):
        commit(changed, root / "vault", RUN)
    with pytest.raises(VaultError, match="in shards of 4: leave --shard out"):
        commit(book, root / "vault", replace(RUN, shard=8))
    with pytest.raises(VaultError, match="another signing key already"):
        commit(book, root / "vault", RUN, signing_key=key)
    assert commit(hours_later(book), root / "vault", replace(RUN, shard=None)).found


def test_statements_that_cannot_be_proven(root: Path, book: Inputs) -> None:
    every = load_folder(SMALL)
    with pytest.raises(CrossmarginError, match="use maintenance, initial, coverage"):
        prove(every, root / "vault", ["stress"], RUN)
    strict = replace(every, model=every.model.model_copy(update={"strict": True}))
    with pytest.raises(InsolventError, match="1 account does not satisfy"):
        prove(strict, root / "vault", ["maintenance"], RUN)
    other = load_folder(SMALL.parent / "book")
    with pytest.raises(CrossmarginError, match="other columns than the committed snapshot"):
        prove(other, root / "vault", run=RUN)


def test_one_run_at_a_time(root: Path, book: Inputs) -> None:
    with Vault.open(root / "vault").locked():
        for step in (
            lambda: commit(book, root / "vault", RUN),
            lambda: prove(book, root / "vault", run=RUN),
            lambda: publish(book, root / "vault", root / "bundle", run=RUN),
        ):
            with pytest.raises(VaultError, match="another run is using"):
                step()


@pytest.mark.parametrize("given", ["examples/small", None, 3])
def test_book_must_be_loaded(tmp_path: Path, given: Any) -> None:
    for step in (lambda: commit(given, tmp_path / "vault"), lambda: prove(given, tmp_path / "vault")):
        with pytest.raises(TypeError, match="is no loaded book: load it first"):
            step()
    assert not (tmp_path / "vault").exists()


@pytest.mark.parametrize("given", [None, 3, {}])
def test_source_is_a_folder_or_has_tables(given: Any) -> None:
    with pytest.raises(TypeError, match="is no book: give a folder"):
        cm.load(given)


def test_damaged_totals_are_restored_not_proven_again(root: Path, book: Inputs) -> None:
    totals = root / "vault" / "snapshot" / TOTALS_FILE
    data = bytearray(totals.read_bytes())
    data[60] ^= 1
    totals.write_bytes(data)
    list(prove(book, root / "vault", run=replace(RUN, packing=1)))
    with pytest.raises(CrossmarginError, match=r"V7: .*restore snapshot/totals.cm2 of the vault from a copy"):
        publish(book, root / "vault", root / "bundle", run=RUN)


def test_damaged_statement_is_named(root: Path, book: Inputs) -> None:
    folder = root / "vault" / "statements" / "coverage"
    for name in (POLICY_FILE, STATEMENT_FILE):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1])
        with pytest.raises(MalformedError, match=rf"coverage/{name.replace('.', '.')}: .*prove that statement again"):
            unproven(book, root / "vault", RUN)
        (folder / name).write_bytes(whole)


def test_files_that_stand_in_the_way_of_a_bundle_are_named(root: Path, book: Inputs) -> None:
    """By vault, statement and file, and never by a temporary name that is gone when somebody reads it."""
    folder = root / "vault" / "statements" / "coverage"
    for path in sorted(folder.glob("*.cm2")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(CrossmarginError, match=rf"vault.*coverage.*{path.name}: .*prove that statement again"):
            publish(book, root / "vault", root / "new", run=RUN)
        path.unlink()
        with pytest.raises(CrossmarginError, match=rf"coverage.*{path.name}"):
            publish(book, root / "vault", root / "new", run=RUN)
        path.write_bytes(whole)
    assert not (root / "new").exists()
    assert not list(root.glob(".new*"))


def test_bundles_that_are_not_published(root: Path, book: Inputs, tmp_path: Path) -> None:
    with pytest.raises(CrossmarginError, match="not proven yet: maintenance"):
        publish(book, root / "vault", tmp_path / "bundle", ["maintenance"], RUN)
    commit(book, tmp_path / "vault", RUN)
    with pytest.raises(VaultError, match="no proven statement"):
        publish(book, tmp_path / "vault", tmp_path / "bundle", run=RUN)
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(CrossmarginError, match="holds something else"):
        publish(book, root / "vault", foreign, run=RUN)
    assert not (tmp_path / "bundle").exists()


def test_private_folders_are_kept_out_of_the_bundle(root: Path, book: Inputs, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    for vault, receipts in ((bundle, None), (bundle / "vault", None), (tmp_path / "vault", bundle / "receipts")):
        with pytest.raises(VaultError, match="would be inside the public bundle"):
            list(pipeline(book, vault, bundle, receipts, RUN))
    assert list(tmp_path.iterdir()) == [root]
    with pytest.raises(CrossmarginError, match="inside a public bundle"):
        deliver(root / "vault", root / "bundle" / "receipts")
    with pytest.raises(CrossmarginError, match="no account 'nobody'"):
        deliver(root / "vault", tmp_path / "receipts", ["nobody"])
    assert not (tmp_path / "receipts").exists()


# Bundles in order of time.


def published_digest(bundle: Path) -> bytes:
    return b"".join(
        (bundle / each).read_bytes() for each in ("snapshot/snapshot.cm2", "statements/coverage/policy.json")
    )


def test_older_bundle_does_not_replace_a_newer_one(root: Path, book: Inputs, changed: Inputs, tmp_path: Path) -> None:
    later = tmp_path / "later"
    commit(changed, later, RUN)
    prove(changed, later, run=RUN)
    bundle = root / "bundle"
    publish(changed, later, bundle, run=RUN, despite_claims=True)
    newest = published_digest(bundle)
    with pytest.raises(OrderError, match=r"holds a later bundle, snapshot of 2025-03-28T09:00:00Z.*--older"):
        publish(book, root / "vault", bundle, run=RUN)
    assert published_digest(bundle) == newest
    publish(book, root / "vault", bundle, run=RUN, older=True, despite_claims=True)
    assert published_digest(bundle) != newest
    publish(changed, later, bundle, run=RUN, despite_claims=True)
    assert published_digest(bundle) == newest


def test_older_prices_do_not_replace_newer_ones(root: Path, book: Inputs) -> None:
    bundle = root / "bundle"
    prove(hours_later(book), root / "vault", run=RUN)
    publish(book, root / "vault", bundle, run=RUN, despite_claims=True, other_prices=True)
    prove(book, root / "vault", run=RUN)
    with pytest.raises(OrderError, match=r"prices of 2025-03-28T09:00:00Z; this one: .*prices of 2025-03-28T08"):
        publish(book, root / "vault", bundle, run=RUN)


def test_two_snapshots_with_one_id_are_not_shown(root: Path, book: Inputs, tmp_path: Path) -> None:
    commit(book, tmp_path / "again", RUN)
    prove(book, tmp_path / "again", run=RUN)
    with pytest.raises(OrderError, match="holds another snapshot of the same time"):
        publish(book, tmp_path / "again", root / "bundle", run=RUN)
    publish(book, tmp_path / "again", root / "bundle", run=RUN, older=True, despite_claims=True)


def test_bundle_of_another_book_is_not_replaced(root: Path, book: Inputs, tmp_path: Path) -> None:
    other = hours_later(replace(book, venue=book.venue.model_copy(update={"book": "other"})))
    commit(other, tmp_path / "other", RUN)
    prove(other, tmp_path / "other", run=RUN)
    for older in (False, True):
        with pytest.raises(OrderError, match="the bundle of another book, example-exchange/small"):
            publish(other, tmp_path / "other", root / "bundle", run=RUN, older=older)


@pytest.mark.parametrize("file", ["snapshot/snapshot.cm2", "statements/coverage/policy.json"])
def test_damaged_bundle_is_not_compared(root: Path, book: Inputs, file: str) -> None:
    path = root / "bundle" / file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VaultError, match=rf"{file} is damaged or missing"):
        publish(book, root / "vault", root / "bundle", run=RUN)


def test_preferred_backend_is_the_default() -> None:
    assert Run().backend.name == select_backend().name
