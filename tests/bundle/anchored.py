"""Anchors bundles again after a change: what a venue would do that changes its own bundle and signs it."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.signing import SigningKey
from crossmargin_verifier.bundle.anchor import (
    ANCHOR_FILE,
    ANCHOR_SIGNATURE_FILE,
    SNAPSHOT_FOLDER,
    STATEMENTS_FOLDER,
    Anchor,
    AnchoredStatement,
)
from crossmargin_verifier.bundle.declarations import BUNDLE_FILE, SUMMARY_FILE, SUMMARY_TEXT_FILE
from crossmargin_verifier.protocol.manifests import SNAPSHOT_FILE, STATEMENT_FILE, SnapshotManifest, StatementManifest

UNLISTED = {ANCHOR_FILE, ANCHOR_SIGNATURE_FILE, SUMMARY_FILE, SUMMARY_TEXT_FILE}


def anchor_again(folder: Path, keys: Iterable[SigningKey]) -> None:
    """Write anchor.json and anchor.sig for the files that are there, with the key that bundle.json names if it is here.

    What cannot be read any more stands in the new anchor as in the old one.
    """
    old = json.loads((folder / ANCHOR_FILE).read_bytes()) if (folder / ANCHOR_FILE).exists() else None
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name not in UNLISTED
    }
    public = ""
    try:
        declared = json.loads((folder / BUNDLE_FILE).read_bytes())
        public = declared["receipt_key"]
        venue, names = str(declared["venue"]), list(declared["statements"])
        snapshot = SnapshotManifest.decode((folder / SNAPSHOT_FOLDER / SNAPSHOT_FILE).read_bytes())
        anchor = Anchor(
            venue, snapshot.digest, snapshot.as_of, tuple(_statement(folder, name) for name in names), files
        ).encoded
    except (CrossmarginError, ValueError, KeyError, TypeError, OSError):
        if old is None:
            raise
        was = Anchor.decode((folder / ANCHOR_FILE).read_bytes())
        anchor = Anchor(was.venue, was.snapshot_digest, was.as_of, was.statements, files).encoded
    every = list(keys)
    key = next((each for each in every if each.public.hex() == public), every[0])
    (folder / ANCHOR_FILE).write_bytes(anchor)
    (folder / ANCHOR_SIGNATURE_FILE).write_bytes(key.sign_anchor(anchor))


def _statement(folder: Path, name: str) -> AnchoredStatement:
    place = folder / STATEMENTS_FOLDER / name
    statement = StatementManifest.decode((place / STATEMENT_FILE).read_bytes())
    return AnchoredStatement(name, statement.digest, Policy.decode((place / POLICY_FILE).read_bytes()).digest)
