"""The anchor of a bundle: one file that fixes every other file which decides a claim, signed with the receipt key.

    anchor.json      venue, snapshot, digests of the statements, and the SHA-256 of every file of the bundle
    anchor.sig       r || s over H_bundle(anchor.json), by the key that signs receipts

The *bundle digest* is SHA-256(anchor.json), so `sha256sum anchor.json` prints it. The anchor lists neither itself, nor
its signature, nor the two summaries, which carry no weight.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from crossmargin_circuits.digest import DIGEST_BYTES, tagged_hash
from crossmargin_circuits.encoding import Fields, dump_canonical, load_canonical

__all__ = [
    "ANCHOR_FILE",
    "ANCHOR_FORMAT",
    "ANCHOR_SIGNATURE_FILE",
    "SNAPSHOT_FOLDER",
    "STATEMENTS_FOLDER",
    "Anchor",
    "AnchoredStatement",
    "anchor_message",
]

SNAPSHOT_FOLDER = "snapshot"
STATEMENTS_FOLDER = "statements"
ANCHOR_FILE = "anchor.json"
ANCHOR_SIGNATURE_FILE = "anchor.sig"
ANCHOR_FORMAT = "crossmargin-anchor/1"


def anchor_message(anchor_file: bytes) -> bytes:
    """Return the digest that a venue signs for a bundle: H_bundle of `anchor.json`."""
    return tagged_hash("bundle", anchor_file)


@dataclass(frozen=True)
class AnchoredStatement:
    """A statement of a bundle: its name, the digest of its statement file and that of its policy."""

    name: str
    statement_digest: bytes
    policy_digest: bytes


@dataclass(frozen=True)
class Anchor:
    """What a bundle consists of. as_of: Unix seconds; files: SHA-256 by path, with `/` between folders."""

    venue: str
    snapshot_digest: bytes
    as_of: int
    statements: tuple[AnchoredStatement, ...]
    files: Mapping[str, bytes]

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `anchor.json`."""
        return dump_canonical(
            {
                "format": ANCHOR_FORMAT,
                "venue": self.venue,
                "snapshot": {"digest": self.snapshot_digest.hex(), "as_of": self.as_of},
                "statements": [
                    {"name": each.name, "statement": each.statement_digest.hex(), "policy": each.policy_digest.hex()}
                    for each in self.statements
                ],
                "files": {path: digest.hex() for path, digest in self.files.items()},
            }
        )

    @cached_property
    def digest(self) -> bytes:
        """The bundle digest: SHA-256 of `anchor.json`."""
        return hashlib.sha256(self.encoded).digest()

    @classmethod
    def decode(cls, data: bytes) -> "Anchor":
        """Parse `anchor.json`.

        Raises:
            MalformedError: not canonical, other keys, or a digest that is not lower-case hexadecimal.
        """
        keys = ("format", "venue", "snapshot", "statements", "files")
        root = Fields(load_canonical(data, ANCHOR_FILE), f"{ANCHOR_FILE}: ", *keys)
        root.format(ANCHOR_FORMAT)
        snapshot = root.inner("snapshot", "digest", "as_of")
        paths = root.mapping("files")
        files = Fields(paths, root.path("files."), *paths)
        return cls(
            venue=root.printable("venue"),
            snapshot_digest=snapshot.hexadecimal("digest", DIGEST_BYTES),
            as_of=snapshot.count("as_of"),
            statements=tuple(
                AnchoredStatement(
                    each.text("name"),
                    each.hexadecimal("statement", DIGEST_BYTES),
                    each.hexadecimal("policy", DIGEST_BYTES),
                )
                for each in root.each("statements", "name", "statement", "policy")
            ),
            files={path: files.hexadecimal(path, DIGEST_BYTES) for path in paths},
        )
