"""What is private stays private: file modes, public bytes, reprs, errors and what the commands print."""

import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import witness
from crossmargin.loading import Inputs
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.backend import select_backend
from crossmargin_prover.cli import main
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.receipts import make_receipts
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_prover.vault.vault import Vault
from crossmargin_verifier.bundle.check_receipt import check_receipt
from crossmargin_verifier.protocol.inclusion import Receipt

ACCOUNTS = ("acct-a", "acct-b", "acct-c", "acct-d", "acct-e")
HIDDEN = 987654321987


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def snapshot(venue: Any) -> CommittedSnapshot:
    return Vault.open(venue.vault).load()


def test_vault_is_its_owners_alone(venue: Any) -> None:
    assert mode(venue.vault) == 0o700
    private = [path for path in venue.vault.rglob("*") if path.is_file() and "statements" not in path.parts]
    assert {path.name for path in private} == {
        "crossmargin-vault.txt", "keys.json", "randomness.key", "signing.key", "report.json", "lock", "plan.npz",
        "shard-000000.npz", "columns.cm2", "positions.cm2", "snapshot.cm2", "totals.cm2", "records-000000.cm2",
        "published.json",
    }  # fmt: skip
    assert {mode(path) for path in private} == {0o600}


def test_receipts_are_their_owners_alone(venue: Any) -> None:
    assert mode(venue.receipts) == 0o700
    assert {mode(path) for path in venue.receipts.iterdir()} == {0o600}


def test_receipts_tighten_what_they_find(venue: Any, tmp_path: Path) -> None:
    out = Path(shutil.copytree(venue.receipts, tmp_path / "receipts"))
    out.chmod(0o755)
    for path in out.iterdir():
        path.chmod(0o644)
    result = CliRunner().invoke(main, ["receipts", "--vault", str(venue.vault), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert mode(out) == 0o700
    assert {mode(path) for path in out.iterdir()} == {0o600}


def secret_bytes(venue: Any, snapshot: CommittedSnapshot) -> Iterator[tuple[str, bytes]]:
    """Everything that must not be in a public file, in the forms in which it might be."""
    for name in ("randomness.key", "signing.key"):
        key = (venue.vault / name).read_bytes()
        yield name, key
        yield name, key.hex().encode()
    whole = snapshot.whole()
    blindings = whole.blindings(snapshot.manifest.sid)
    for leaf, holder in enumerate(whole.ids):
        nonce = whole.nonce(leaf)
        yield "nonce", nonce
        yield "nonce", nonce.hex().encode()
        yield "blinding", blindings[leaf].to_bytes(32, "big")
        if holder:
            yield "id", holder.encode()
            for entry in whole.records.row(leaf):
                if abs(entry) > 10**6 and entry % 10_000:  # a round amount stands in limits too
                    yield "record", entry.to_bytes(8, "big", signed=True)
                    yield "record", str(abs(entry)).encode()


def test_no_secret_is_in_a_public_file(venue: Any, snapshot: CommittedSnapshot) -> None:
    public = {name: (venue.bundle / name).read_bytes() for name in venue.files}
    public |= {str(path): path.read_bytes() for path in (venue.vault / "statements").rglob("*") if path.is_file()}
    for what, secret in secret_bytes(venue, snapshot):
        assert len(secret) >= 6
        for name, data in public.items():
            assert secret not in data, f"{what} in {name}"


def test_the_search_would_find_them(venue: Any, snapshot: CommittedSnapshot) -> None:
    """The same search over the private files finds each kind."""
    private = b"".join(
        path.read_bytes() for path in [*venue.vault.rglob("*"), *venue.receipts.iterdir()] if path.is_file()
    )
    found = {what for what, secret in secret_bytes(venue, snapshot) if secret in private}
    assert found == {"randomness.key", "signing.key", "nonce", "id", "record"}


def test_vault_holds_no_account_id_in_its_statements_or_names(venue: Any) -> None:
    names = [str(path.relative_to(venue.vault)) for path in venue.vault.rglob("*")]
    names += [path.name for path in venue.receipts.rglob("*")]
    assert not any(account in name for account in ACCOUNTS for name in names)


def test_reprs_are_redacted(venue: Any, snapshot: CommittedSnapshot, small: Inputs) -> None:
    vault = Vault.open(venue.vault)
    policy = build_policy(small.venue.venue, small.environment, small.model, "maintenance")
    made = next(make_receipts(snapshot, range(5), vault.signing_key, vault.naming_key))
    checked = check_receipt(venue.receipt("acct-c"), "acct-c", bundle=venue.bundle)
    values = witness(compile_policy(policy), small.book.records)
    whole = snapshot.whole()
    secretive = [
        snapshot,
        whole,
        whole.records,
        vault,
        vault.signing_key,
        vault.randomness,
        made,
        made.content,
        Receipt.decode(made.content.receipt),
        checked,
        *checked.margins,
        values,
        small.book,
        small,
    ]
    texts = [text for each in secretive for text in (repr(each), str(each), f"{each}")]
    shown = "\n".join(texts)
    for account in ACCOUNTS:
        assert account not in shown
    for leaf, blinding in enumerate(whole.blindings(snapshot.manifest.sid)):
        assert whole.nonce(leaf).hex() not in shown
        assert repr(whole.nonce(leaf)) not in shown
        assert str(blinding) not in shown
        for entry in whole.records.row(leaf) if whole.ids[leaf] else ():
            assert abs(entry) < 10**6 or str(abs(entry)) not in shown
    for key in ("randomness.key", "signing.key"):
        data = (venue.vault / key).read_bytes()
        assert data.hex() not in shown
        assert repr(data) not in shown
    assert "array" not in shown


def test_errors_of_the_prover_name_the_account_and_no_amount(small: Inputs) -> None:
    """Out of range, entered twice, wrong slack: each error names the account and the place, and no figure of it."""
    policy = build_policy(small.venue.venue, small.environment, small.model, "coverage")
    compiled = compile_policy(policy)
    labels = policy.layout.labels
    randomness, backend = SystemRandomness(), select_backend("reference")

    def commit(matrix: Any, ids: Any = ("acct-a", "acct-b")) -> CommittedSnapshot:
        return commit_snapshot(
            "sid", 0, labels, matrix, ids, 2, randomness, backend, name_account=lambda number: f"account {ids[number]}"
        )

    rows = np.zeros((2, len(labels)), dtype=np.int64)
    rows[1, 0] = HIDDEN
    good = commit(csr_array(rows))
    values = witness(compiled, good.whole().records.matrix)

    def prove(auxiliaries: Any, slacks: Any) -> None:
        prove_statement(
            good, compiled.relation, policy.digest, GivenWitness(auxiliaries, slacks, good.manifest), randomness,
            backend, packing=0, name_account=lambda shard, place: f"account {shard.ids[place]}",
        )  # fmt: skip

    too_large = rows.copy()
    too_large[1, 1] = 2**62 + HIDDEN
    twice = csr_array((np.array([1, HIDDEN, HIDDEN]), np.array([0, 1, 1]), np.array([0, 1, 3])), shape=(2, len(labels)))
    leaf = good.whole().ids.index("acct-b")
    wrong = values.slacks.astype(object)
    wrong[leaf, 0] += 1
    negative = values.slacks.astype(object)
    negative[leaf, 0] = -HIDDEN
    huge = values.auxiliaries.astype(object)
    huge[leaf, 0] = 2**64 + HIDDEN
    attempts = [
        lambda: commit(csr_array(too_large)),
        lambda: commit(twice),
        lambda: commit(csr_array(rows), ("acct-b", "acct-b")),
        lambda: prove(values.auxiliaries, wrong),
        lambda: prove(values.auxiliaries, negative),
        lambda: prove(huge, values.slacks),
    ]
    for attempt in attempts:
        with pytest.raises(CrossmarginError) as error:
            attempt()
        text = str(error.value)
        assert "acct-b" in text
        assert not re.search(r"\d{7,}", text), text


def test_commands_print_nothing_private(venue: Any, tmp_path: Path, snapshot: CommittedSnapshot) -> None:
    """What `publish` and `receipts` print names no account, though the venue's own screen could show it."""
    runner = CliRunner()
    small = str(Path(__file__).parents[2] / "examples" / "small")
    vault = str(venue.vault)
    published = runner.invoke(main, ["publish", "--book", small, "--vault", vault, "--out", str(tmp_path / "bundle")])
    written = runner.invoke(main, ["receipts", "--vault", vault, "--out", str(tmp_path / "receipts")])
    assert published.exit_code == written.exit_code == 0
    for what, secret in secret_bytes(venue, snapshot):
        assert secret.decode("latin-1") not in published.output + written.output, what


@pytest.mark.parametrize("data", [b"", b"\x00" * 32, b"\xff" * 32, b"PK\x03\x04 not an archive", None])
@pytest.mark.parametrize("name", ["snapshot/shard-000000.npz", "snapshot/snapshot.cm2", "report.json", "signing.key"])
def test_damaged_vault_is_refused_without_its_contents(
    venue: Any, tmp_path: Path, name: str, data: bytes | None
) -> None:
    vault = Path(shutil.copytree(venue.vault, tmp_path / "vault"))
    honest = (vault / name).read_bytes()
    (vault / name).write_bytes(honest[:-7] if data is None else data)
    result = CliRunner().invoke(main, ["receipts", "--vault", str(vault), "--out", str(tmp_path / "receipts")])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.stderr.startswith("refused: ")
    assert all(account not in result.stderr for account in ACCOUNTS)
