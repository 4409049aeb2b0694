"""One proven bundle of the small example book, made by the command line as a venue would, and ways to change it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import witness
from crossmargin.loading import Inputs, load_folder
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.backend import select_backend
from crossmargin_prover.cli import main
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.publish import publish
from crossmargin_verifier.bundle import check
from crossmargin_verifier.bundle.anchor import ANCHOR_FILE, SNAPSHOT_FOLDER, STATEMENTS_FOLDER
from crossmargin_verifier.bundle.declarations import (
    BUNDLE_FILE,
    RESERVES_FILE,
    SUMMARY_FILE,
    BundleManifest,
    DeclaredReserves,
    Totals,
)
from crossmargin_verifier.protocol.manifests import TOTALS_FILE
from tests.bundle.anchored import anchor_again

SMALL = Path(__file__).parents[2] / "examples" / "small"


@dataclass(frozen=True)
class Venue:
    """Folders of one run."""

    vault: Path
    bundle: Path
    receipts: Path

    @property
    def key(self) -> SigningKey:
        """The key that signs receipts and bundles."""
        return Vault(self.vault).signing_key

    @property
    def files(self) -> list[str]:
        """Every file of the bundle, relative."""
        return sorted(str(path.relative_to(self.bundle)) for path in self.bundle.rglob("*") if path.is_file())

    def receipt(self, account: str, ending: str = ".json") -> Path:
        """Path of an account's receipt."""
        index = json.loads((self.receipts / "index.json").read_text(encoding="utf-8"))["receipts"]
        return self.receipts / f"{index[account]}{ending}"


@pytest.fixture(scope="session")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Venue:
    """Run the whole way once; packing 0 keeps the openings short."""
    root = tmp_path_factory.mktemp("venue")
    made = Venue(root / "vault", root / "bundle", root / "receipts")
    result = CliRunner().invoke(
        main,
        [
            *("run", "--book", str(SMALL), "--vault", str(made.vault), "--bundle", str(made.bundle)),
            *("--receipts", str(made.receipts), "--packing", "0", "--processes", "1"),
        ],
    )
    assert result.exit_code == 0, result.output
    return made


@pytest.fixture(scope="session")
def small() -> Inputs:
    """The book that the bundle is about."""
    return load_folder(SMALL)


@pytest.fixture
def bundle(venue: Venue, tmp_path: Path) -> Path:
    """Return a copy of the bundle that a test may change."""
    return Path(shutil.copytree(venue.bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def coverage_bundle(venue: Venue, small: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the coverage statement alone, which verifies fast; it lacks a claim. Not to be changed."""
    out = tmp_path_factory.mktemp("coverage") / "bundle"
    publish(small, venue.vault, out, ["coverage"], despite_claims=True)
    return out


@pytest.fixture
def coverage(coverage_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the coverage bundle that a test may change."""
    return Path(shutil.copytree(coverage_bundle, tmp_path / "coverage"))


VERIFIED: dict[bytes, Any] = {}


@pytest.fixture
def proofs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify files that were verified before only once: for tests that change what stands beside the proofs."""
    verify = check.verify_statements

    def remembered(snapshot: Any, statements: Mapping[str, Any], **options: Any) -> Any:
        every = [*snapshot.bytes.items()]
        for name, claimed in statements.items():
            every += [(name, claimed.policy_digest), (name, claimed.relation.digest), *claimed.files.bytes.items()]
        key = hashlib.sha256(repr(every).encode()).digest()
        if key not in VERIFIED:
            VERIFIED[key] = verify(snapshot, statements, **options)
        return VERIFIED[key]

    monkeypatch.setattr(check, "verify_statements", remembered)


@dataclass(frozen=True)
class Workshop:
    """Makes bundles about small books by the prover's own functions."""

    key: SigningKey
    randomness: SystemRandomness

    def commit(
        self, policy: Policy, records: Sequence[Sequence[int]], *, open_totals: bool = True
    ) -> CommittedSnapshot:
        """Commit records of accounts holder-0, holder-1, ..."""
        size = 1 << (len(records) - 1).bit_length()
        return commit_snapshot(
            f"{policy.venue}/book/1970",
            0,
            policy.layout.labels,
            csr_array(np.array(records, dtype=np.int64)),
            [f"holder-{number}" for number in range(len(records))],
            size,
            self.randomness,
            select_backend(),
            open_totals=open_totals,
        )

    def prove(self, snapshot: CommittedSnapshot, policy: Policy) -> dict[str, bytes]:
        """Prove the policy about the snapshot, packing 0; returns the files of the statement's folder."""
        compiled = compile_policy(policy)
        values = witness(compiled, snapshot.whole().records.matrix)
        files = prove_statement(
            snapshot,
            compiled.relation,
            policy.digest,
            GivenWitness(values.auxiliaries, values.slacks, snapshot.manifest),
            self.randomness,
            select_backend(),
            packing=0,
        )
        return {**files, POLICY_FILE: policy.encoded}

    def write(
        self,
        folder: Path,
        snapshot: CommittedSnapshot,
        statements: Mapping[str, Mapping[str, bytes]],
        assets: Mapping[str, str],
        fund: str,
        venue: str,
    ) -> Path:
        """Write a bundle without summaries."""
        manifest = BundleManifest(
            venue=venue,
            snapshot_digest=snapshot.manifest.digest,
            statements=tuple(statements),
            receipt_key=self.key.public,
            totals=Totals.OPENED if TOTALS_FILE in snapshot.files else Totals.NONE,
            loaded=snapshot.manifest.accounts,
            rejected=0,
        )
        reserves = DeclaredReserves(snapshot.manifest.digest, "test", assets, "USD", fund)
        folders = {SNAPSHOT_FOLDER: snapshot.files}
        folders |= {f"{STATEMENTS_FOLDER}/{name}": files for name, files in statements.items()}
        for place, files in folders.items():
            (folder / place).mkdir(parents=True)
            for file, data in files.items():
                (folder / place / file).write_bytes(data)
        (folder / BUNDLE_FILE).write_bytes(manifest.encoded)
        (folder / RESERVES_FILE).write_bytes(reserves.encoded)
        anchor_again(folder, [self.key])
        return folder


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    return Workshop(SigningKey.generate(), SystemRandomness())


@pytest.fixture
def anchor(venue: Venue, workshop: Workshop) -> Callable[[Path], None]:
    """Return a function that anchors a changed bundle again, as its own venue would."""
    return lambda folder: anchor_again(folder, [venue.key, workshop.key])


@pytest.fixture
def rewrite(anchor: Callable[[Path], None]) -> Callable[[Path, Callable[[Any], None]], None]:
    """Return a function that changes a JSON file of a bundle in place, canonically, and anchors the bundle again."""

    def change(path: Path, edit: Callable[[Any], None]) -> None:
        value = json.loads(path.read_bytes())
        edit(value)
        path.write_bytes(dump_canonical(value))
        folder = next(each for each in path.parents if (each / BUNDLE_FILE).exists())
        if path.name not in (ANCHOR_FILE, SUMMARY_FILE):
            anchor(folder)

    return change
