"""What a vault holds besides shards: its version, the record proofs that are made once, the log of publications."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossmargin.loading import Inputs, load_folder
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_prover import InsolventError, Run, Vault, VaultError, commit, deliver, prove, publish
from crossmargin_prover import record_files as files_of_records
from crossmargin_prover.statement import StatementError
from crossmargin_prover.vault.names import MARKER
from crossmargin_prover.vault.publications import PublishedStatement
from crossmargin_prover.workflow import compiled
from crossmargin_verifier.protocol.manifests import records_file

SMALL = Path(__file__).parents[2] / "examples" / "small"
RUN = Run(shard=4, packing=0)


@pytest.fixture(scope="module")
def book() -> Inputs:
    inputs = load_folder(SMALL)
    statements = tuple(each for each in inputs.model.statements if each.name == "coverage")
    return replace(inputs, model=inputs.model.model_copy(update={"statements": statements}))


@pytest.fixture(scope="module")
def committed(book: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return commit(book, tmp_path_factory.mktemp("committed") / "vault", RUN).vault.path


@pytest.fixture
def vault(committed: Path, tmp_path: Path) -> Vault:
    return Vault(Path(shutil.copytree(committed, tmp_path / "vault")))


def hours_later(inputs: Inputs) -> Inputs:
    as_of = inputs.market.as_of + timedelta(hours=1)
    return replace(inputs, market=inputs.market.model_copy(update={"as_of": as_of}))


# Version.


@pytest.mark.parametrize("name", [MARKER, "snapshot/snapshot.cm1"])
def test_vault_of_version_1_is_refused(book: Inputs, tmp_path: Path, name: str) -> None:
    path = tmp_path / "vault" / name
    path.parent.mkdir(parents=True)
    path.write_text("This folder is a crossmargin vault: a venue's private records, nonces and keys of one snapshot.\n")
    before = path.read_bytes()
    steps: tuple[Callable[[], object], ...] = (
        lambda: commit(book, tmp_path / "vault", RUN),
        lambda: commit(book, tmp_path / "new", RUN, since=tmp_path / "vault"),
        lambda: prove(book, tmp_path / "vault", run=RUN),
        lambda: publish(book, tmp_path / "vault", tmp_path / "bundle"),
        lambda: deliver(tmp_path / "vault", tmp_path / "receipts"),
    )
    for step in steps:
        with pytest.raises(VaultError, match=r"is a vault of crossmargin/1, which release 0\.1\.0 reads"):
            step()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["vault"]


# Record proofs.


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The shards whose records are proven from here on."""
    shards: list[int] = []
    honest = files_of_records.prove_records

    def counted(public: Any, *given: Any) -> bytes:
        shards.append(public.index)
        return honest(public, *given)

    monkeypatch.setattr(files_of_records, "prove_records", counted)
    return shards


def proofs(vault: Vault) -> dict[str, bytes]:
    return {name: data for name, data in vault.load().files.items() if name.startswith("records-")}


def test_record_proofs_are_made_once(vault: Vault, book: Inputs, tmp_path: Path, proven: list[int]) -> None:
    before = proofs(vault)
    assert list(before) == [records_file(0), records_file(1)]
    assert commit(book, vault, RUN).found
    prove(book, vault, run=RUN)
    prove(hours_later(book), vault, run=RUN)
    later = commit(hours_later(book), tmp_path / "later", RUN, since=vault)
    assert later.reused
    assert proofs(vault) == proofs(later.vault) == before
    assert proven == []


@pytest.mark.parametrize("step", ["prove", "commit", "later"])
def test_missing_record_proofs_are_made(
    vault: Vault, book: Inputs, tmp_path: Path, proven: list[int], step: str
) -> None:
    before = proofs(vault)
    (vault.snapshot.path / records_file(1)).unlink()
    if step == "prove":
        prove(book, vault, run=RUN)
    elif step == "commit":
        commit(book, vault, RUN)
    else:
        vault = commit(hours_later(book), tmp_path / "later", RUN, since=vault).vault
    assert proven == [1]
    assert proofs(vault)[records_file(0)] == before[records_file(0)]
    # Fresh masks: the lost proof and the new one agree in nothing but their header.
    assert proofs(vault)[records_file(1)][46:79] != before[records_file(1)][46:79]


def test_damaged_record_is_not_proven(vault: Vault, book: Inputs) -> None:
    """A proof of it would be kept, and every bundle with it rejected."""
    (vault.snapshot.path / records_file(0)).unlink()
    path = vault.snapshot.path / "shard-000000.npz"
    with np.load(path, allow_pickle=False) as archive:
        arrays = {each: archive[each].copy() for each in archive.files}
    arrays["data"][0] += 1
    np.savez(path, **arrays)
    with pytest.raises(MalformedError, match=r"shard-000000\.npz: its commitments do not open to its records"):
        prove(book, vault, run=RUN)
    assert records_file(0) not in vault.snapshot


def test_damaged_record_proof_is_named_before_publication(vault: Vault, book: Inputs, tmp_path: Path) -> None:
    prove(book, vault, run=RUN)
    path = vault.snapshot.path / records_file(1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CrossmarginError, match=r"V4, shard 1: .*: restore snapshot/records-000001\.cm2 of the vault"):
        publish(book, vault, tmp_path / "bundle", run=RUN, despite_claims=True)
    path.write_bytes(data[:-1])
    with pytest.raises(CrossmarginError, match=r"records-000001\.cm2: .*: restore that file in snapshot/ of the vault"):
        publish(book, vault, tmp_path / "bundle", run=RUN, despite_claims=True)
    assert not (tmp_path / "bundle").exists()


# What no verifier accepts is found before anything is committed.


def test_policies_that_no_verifier_accepts(
    vault: Vault, book: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise CrossmarginError("V2: row 'equity': too large")

    monkeypatch.setattr(compiled, "check_coefficients", refuse)
    for step in (
        lambda: commit(book, tmp_path / "new", RUN),
        lambda: commit(book, vault, RUN),
        lambda: commit(hours_later(book), tmp_path / "later", RUN, since=vault),
        lambda: prove(book, vault, run=RUN),
    ):
        with pytest.raises(StatementError, match="statement coverage: V2: row 'equity': too large"):
            step()
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "later").exists()
    assert not vault.proven


def test_equity_without_a_full_form_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def refuse(policy: Any) -> None:
        seen.append(str(policy.kind))
        raise CrossmarginError("equity has no full form: column balance USD")

    monkeypatch.setattr(compiled, "check_full_form", refuse)
    with pytest.raises(StatementError, match="statement maintenance: equity has no full form: column balance USD"):
        commit(load_folder(SMALL), tmp_path / "new", RUN)
    assert seen == ["solvency"]
    assert not (tmp_path / "new").exists()


def test_shards_that_would_be_mostly_empty(book: Inputs, tmp_path: Path) -> None:
    with pytest.raises(CrossmarginError, match=r"shards of 16 accounts .* snapshot of 5: at most 8 \(--shard\)"):
        commit(book, tmp_path / "new", replace(RUN, shard=16))
    assert not (tmp_path / "new").exists()


# Ids with a part of the holder.


def test_errors_name_the_account_and_not_its_id(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SMALL, tmp_path / "book"))
    accounts = folder / "accounts.csv"
    header, *lines = accounts.read_text(encoding="utf-8").splitlines()
    rows = [f"{line},part-of-{line.partition(',')[0]}" for line in lines]
    accounts.write_text("\n".join([f"{header},holder_part", *rows]) + "\n", encoding="utf-8")
    inputs = load_folder(folder)
    strict = replace(inputs, model=inputs.model.model_copy(update={"strict": True}))
    made = commit(strict, tmp_path / "vault", RUN)
    assert all("#part-of-" in holder for holder in made.snapshot.whole().ids)
    with pytest.raises(InsolventError, match=r"  account acct-\w+: ") as refused:
        prove(strict, made.vault, ["maintenance"], RUN)
    assert "part-" not in str(refused.value)


# The log of publications.


def test_published_statements_are_logged_and_follow_the_snapshot(vault: Vault, book: Inputs, tmp_path: Path) -> None:
    assert vault.published == ()
    first = PublishedStatement("coverage", bytes(32), bytes(range(32)), 7)
    second = replace(first, statement=bytes(31) + b"\x01", prices=8)
    vault.log_published([first])
    vault.log_published([first, second])
    assert vault.published == (first, second)
    later = commit(hours_later(book), tmp_path / "later", RUN, since=vault)
    assert later.reused
    assert later.vault.published == (first, second)
    log = vault.snapshot.path / "published.json"
    whole = log.read_bytes()
    digest = vault.load().manifest.digest.hex().encode()
    for damaged in (whole[:-1], whole.replace(digest, b"0" * 64), b"[]", whole.replace(b"statement", b"other")):
        log.write_bytes(damaged)
        with pytest.raises(MalformedError, match=r"published\.json: not .* log"):
            _ = vault.published
