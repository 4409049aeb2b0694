"""The names that the prover writes, folder by folder; it never removes or replaces anything else."""

from pathlib import Path
from re import escape

from crossmargin.placement import Names, real_path
from crossmargin_circuits.policy import POLICY_FILE
from crossmargin_prover.statement import BEGUN
from crossmargin_prover.vault.arrays import PLAN
from crossmargin_verifier.bundle.anchor import ANCHOR_FILE, ANCHOR_SIGNATURE_FILE
from crossmargin_verifier.bundle.declarations import BUNDLE_FILE, RESERVES_FILE, SUMMARY_FILE, SUMMARY_TEXT_FILE
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
)

__all__ = [
    "BUNDLE",
    "INDEX_FILE",
    "KEYS",
    "LATEST",
    "LOCK",
    "MARKER",
    "PUBLIC_SNAPSHOT",
    "PUBLISHED",
    "RANDOMNESS_KEY",
    "RECEIPTS",
    "REPORT",
    "SIGNING_KEY",
    "SNAPSHOT",
    "STATEMENT",
    "VAULT",
    "WORK",
    "is_public",
]

MARKER = "crossmargin-vault.txt"
"""Marks a folder as a vault, for people and programs."""

LOCK = "lock"
REPORT = "report.json"

PUBLISHED = "published.json"
"""The log of the published statements about a snapshot."""

RANDOMNESS_KEY = "randomness.key"
SIGNING_KEY = "signing.key"
KEYS = "keys.json"

INDEX_FILE = "index.json"
"""Maps accounts to receipts."""

LATEST = "latest"
"""A link in a series of bundles: it leads to the last one published."""

_STATEMENT_NAME = r"[a-z][a-z0-9_-]{0,31}"


def _names(*names: str, patterns: tuple[str, ...] = ()) -> Names:
    return Names((*map(escape, names), *patterns))


STATEMENT = _names(
    RELATION_FILE, STATEMENT_FILE, SLACK_FILE, AUXILIARY_TOTALS_FILE, POLICY_FILE,
    patterns=(r"shard-[0-9]{6,}\.cm2",),
)  # fmt: skip
"""The public files of one statement."""

WORK = _names(BEGUN, patterns=(r"slack-[0-9]{6,}\.npz", r"shard-[0-9]{6,}\.cm2"))
"""Finished shards of a statement without a complete proof."""

PUBLIC_SNAPSHOT = _names(
    COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE, TOTALS_FILE, patterns=(r"records-[0-9]{6,}\.cm2",)
)
"""The public files of a committed snapshot."""

SNAPSHOT = PUBLIC_SNAPSHOT | _names(PLAN, PUBLISHED, patterns=(r"shard-[0-9]{6,}\.npz",))
"""A committed snapshot, private and public files."""

VAULT = (
    _names(MARKER, LOCK, REPORT, RANDOMNESS_KEY, SIGNING_KEY, KEYS)
    | SNAPSHOT.below("snapshot")
    | WORK.below(f"work/{_STATEMENT_NAME}")
    | STATEMENT.below(f"statements/{_STATEMENT_NAME}")
)
"""All of a vault."""

BUNDLE = (
    _names(ANCHOR_FILE, ANCHOR_SIGNATURE_FILE, BUNDLE_FILE, RESERVES_FILE, SUMMARY_FILE, SUMMARY_TEXT_FILE)
    | PUBLIC_SNAPSHOT.below("snapshot")
    | STATEMENT.below(f"statements/{_STATEMENT_NAME}")
)
"""All of a public bundle."""

RECEIPTS = _names(INDEX_FILE, patterns=(r"[0-9a-f]{32}\.(?:cm2|json)",))
"""All of a folder of receipts."""


def is_public(path: Path) -> bool:
    """Return whether a path is a bundle or a series of bundles, or lies in one."""
    folders = (path, *real_path(path).parents)
    return any((folder / mark).exists() for folder in folders for mark in (BUNDLE_FILE, f"{LATEST}/{BUNDLE_FILE}"))
