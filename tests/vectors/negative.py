"""Negative vectors: statements that a verifier must refuse, as edits of the two small proofs of protocol.json.

Run in this folder:
    python negative.py write > negative.json    write the vectors
    python -O negative.py run [kernel]          verify every vector, in plain Python or with the compiled kernel, and
                                                fail if one is not refused as it says
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import PRIME
from crossmargin_verifier.protocol.manifests import (
    SnapshotManifest,
    StatementManifest,
    point_file_body,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.verify import verify_statement

Files = dict[str, bytes]
Edit = Callable[[Files], None]

FOLDER = Path(__file__).parent
SHARD = "shard-000000.cm1"
POINT, SCALAR = 33, 32
# Offsets in the shard file of `tiny`: n = 10 rounds, l = 1024, 8 folds. `tiny_bounded` has 128 scalars z_l at MASK_END.
MASK = 6 + 32 + 8
MASK_END = MASK + POINT
BETA = MASK_END + 22 * SCALAR
NONCE = BETA + SCALAR
VALUE = NONCE + POINT
FOLDS = VALUE + SCALAR
LAST = FOLDS + 8 * 2 * POINT
END = LAST + 4 * SCALAR


def splice(name: str, offset: int, size: int, data: bytes) -> Edit:
    """Replace `size` bytes of a file."""

    def edit(files: Files) -> None:
        files[name] = files[name][:offset] + data + files[name][offset + size :]

    return edit


def put(name: str, offset: int, data: bytes) -> Edit:
    """Overwrite bytes of a file."""
    return splice(name, offset, len(data), data)


def scalar(name: str, offset: int, value: int) -> Edit:
    """Overwrite a scalar."""
    return put(name, offset, value.to_bytes(SCALAR, "big"))


def add_to_scalar(name: str, offset: int, amount: int) -> Edit:
    """Change a scalar, canonically."""

    def edit(files: Files) -> None:
        value = int.from_bytes(files[name][offset : offset + SCALAR], "big") + amount
        scalar(name, offset, value % ORDER)(files)

    return edit


def flip(name: str, offset: int, mask: int = 1) -> Edit:
    """Flip bits of one byte."""

    def edit(files: Files) -> None:
        put(name, offset, bytes([files[name][offset] ^ mask]))(files)

    return edit


def exchange(name: str, offset: int, other: int, size: int) -> Edit:
    """Exchange two fields of one size."""

    def edit(files: Files) -> None:
        data = files[name]
        one, two = data[offset : offset + size], data[other : other + size]
        put(name, offset, two)(files)
        put(name, other, one)(files)

    return edit


def remove(name: str) -> Edit:
    """Leave a file out."""

    def edit(files: Files) -> None:
        del files[name]

    return edit


def both(*edits: Edit) -> Edit:
    """Do several edits."""

    def edit(files: Files) -> None:
        for each in edits:
            each(files)

    return edit


def tree_root(encodings: bytes, shards: int) -> bytes:
    """Return the root over encoded points in so many shards."""
    size = len(encodings) // shards
    return top_root([shard_root(encodings[shard * size :][:size]) for shard in range(shards)])


def linked(*edits: Edit) -> Edit:
    """Do edits and then make roots and digests agree again, as a prover would who changed his mind."""

    def edit(files: Files) -> None:
        both(*edits)(files)
        snapshot = SnapshotManifest.decode(files["snapshot.cm1"])
        statement = StatementManifest.decode(files["statement.cm1"])
        positions = point_file_body(files["positions.cm1"], "positions.cm1", snapshot.leaves)
        snapshot = replace(snapshot, position_root=tree_root(positions, snapshot.shards))
        rows = point_file_body(files["slack.cm1"], "slack.cm1", snapshot.leaves >> statement.packing)
        relation = Relation.decode(files["relation.cm1"], decode_columns(files["columns.cm1"]))
        statement = replace(
            statement,
            snapshot_digest=snapshot.digest,
            relation_digest=relation.digest,
            slack_root=tree_root(rows, snapshot.shards),
        )
        files["snapshot.cm1"], files["statement.cm1"] = snapshot.encoded, statement.encoded
        for name, digest in (
            (SHARD, statement.digest),
            ("auxtotals.cm1", statement.digest),
            ("totals.cm1", snapshot.digest),
        ):
            if name in files:
                put(name, 6, digest)(files)

    return edit


def negate_points(name: str) -> Edit:
    """Replace every point of a file by its negative."""

    def edit(files: Files) -> None:
        count = (len(files[name]) - 14) // POINT
        both(*(flip(name, 14 + POINT * number) for number in range(count)))(files)

    return edit


def copy_point(files: Files) -> None:
    """Let account 1 have the position of account 0."""
    put("positions.cm1", 14 + POINT, files["positions.cm1"][14 : 14 + POINT])(files)


def duplicate_label(files: Files) -> None:
    """Call the second column as the first."""
    splice("columns.cm1", 10 + 5, 5, files["columns.cm1"][10:15])(files)


def mirror_beta(files: Files) -> None:
    """Claim 1 - beta, for which beta^2 - beta is the same."""
    beta = int.from_bytes(files[SHARD][BETA : BETA + SCALAR], "big")
    scalar(SHARD, BETA, (1 - beta) % ORDER)(files)


def load(proof: str) -> Files:
    """Return the files of a proof of protocol.json."""
    vectors = json.loads((FOLDER / "protocol.json").read_text(encoding="utf-8"))
    return {name: bytes.fromhex(data) for name, data in vectors[proof]["files"].items()}


MALFORMED = "malformed"
V2, V3, V4, V6, V7, V8 = (("rejected", step) for step in ("V2", "V3", "V4", "V6", "V7", "V8"))
ROOT = 74
"""Offset of the position root in snapshot.cm1 of `tiny`."""

VECTORS: list[tuple[str, str, str, Edit, str | tuple[str, str]]] = [
    # id, description, proof, edit, expected
    ("shard-trailing-byte", "a byte after the last field", "tiny", splice(SHARD, END, 0, b"\x00"), MALFORMED),
    ("shard-truncated", "the last byte is missing", "tiny", splice(SHARD, END - 1, 1, b""), MALFORMED),
    ("shard-empty", "no byte at all", "tiny", splice(SHARD, 0, END, b""), MALFORMED),
    ("shard-missing", "the file of the shard is missing", "tiny", remove(SHARD), MALFORMED),
    ("shard-wrong-magic", "magic of another file", "tiny", put(SHARD, 0, b"CM1U"), MALFORMED),
    ("shard-wrong-version", "version 2", "tiny", put(SHARD, 4, b"\x00\x02"), MALFORMED),
    ("shard-little-endian-version", "version 1, bytes reversed", "tiny", put(SHARD, 4, b"\x01\x00"), MALFORMED),
    ("scalar-equals-order", "beta is the group order", "tiny", scalar(SHARD, BETA, ORDER), MALFORMED),
    ("scalar-order-plus-one", "u is one, plus the order", "tiny", scalar(SHARD, VALUE, ORDER + 1), MALFORMED),
    ("scalar-all-ones", "a round coefficient is 2^256 - 1", "tiny", scalar(SHARD, MASK_END, 2**256 - 1), MALFORMED),
    ("last-scalar-equals-order", "the last scalar is the order", "tiny", scalar(SHARD, END - 32, ORDER), MALFORMED),
    ("point-prefix-4", "C_M with an uncompressed prefix", "tiny", put(SHARD, MASK, b"\x04"), MALFORMED),
    ("point-prefix-0", "C_M with prefix 0", "tiny", put(SHARD, MASK, b"\x00"), MALFORMED),
    ("point-identity", "C_M of 33 zero bytes", "tiny", put(SHARD, MASK, bytes(33)), MALFORMED),
    (
        "point-x-plus-prime",
        "C_M with x = 1 + p; x = 1 is on the curve",
        "tiny",
        put(SHARD, MASK, b"\x02" + (PRIME + 1).to_bytes(32, "big")),
        MALFORMED,
    ),
    (
        "point-not-on-curve",
        "E of the first fold with x = 5",
        "tiny",
        put(SHARD, FOLDS, b"\x02" + (5).to_bytes(32, "big")),
        MALFORMED,
    ),
    ("positions-count-wrong", "count 5, bytes for 4", "tiny", put("positions.cm1", 13, b"\x05"), MALFORMED),
    ("positions-count-huge", "count 2^64 - 1", "tiny", put("positions.cm1", 6, b"\xff" * 8), MALFORMED),
    ("positions-short", "one point less", "tiny", splice("positions.cm1", 113, 33, b""), MALFORMED),
    ("positions-identity", "a leaf without a point", "tiny", put("positions.cm1", 14, bytes(33)), MALFORMED),
    ("slack-count-wrong", "count 1, bytes for 2", "tiny", put("slack.cm1", 13, b"\x01"), MALFORMED),
    ("slack-is-positions", "the file of the positions", "tiny", put("slack.cm1", 0, b"CM1X"), MALFORMED),
    ("columns-not-utf8", "a label that is not UTF-8", "tiny", put("columns.cm1", 12, b"\xff"), MALFORMED),
    ("columns-empty-label", "a label of length 0", "tiny", splice("columns.cm1", 10, 5, b"\x00\x00"), MALFORMED),
    ("columns-label-twice", "two columns of one name", "tiny", duplicate_label, MALFORMED),
    ("columns-count-huge", "2^32 - 1 columns", "tiny", put("columns.cm1", 6, b"\xff" * 4), MALFORMED),
    ("columns-none", "no column", "tiny", splice("columns.cm1", 9, 17, b"\x00"), MALFORMED),
    ("relation-flag-2", "a disclosed flag of 2", "tiny", put("relation.cm1", 61, b"\x02"), MALFORMED),
    ("relation-rows-huge", "2^32 - 1 rows", "tiny", put("relation.cm1", 46, b"\xff" * 4), MALFORMED),
    ("relation-trailing-byte", "a byte after the last", "tiny", splice("relation.cm1", 338, 0, b"\x00"), MALFORMED),
    ("snapshot-accounts-3", "N is no power of two", "tiny", put("snapshot.cm1", 65, b"\x03"), MALFORMED),
    ("snapshot-accounts-0", "N = 0", "tiny", put("snapshot.cm1", 65, b"\x00"), MALFORMED),
    ("snapshot-shards-0", "S = 0", "tiny", put("snapshot.cm1", 73, b"\x00"), MALFORMED),
    ("snapshot-too-large", "S N = 2^42", "tiny", put("snapshot.cm1", 66, (2**40).to_bytes(8, "big")), MALFORMED),
    ("snapshot-wraps", "S = 2^63, so that S N is 0 modulo 2^64", "tiny", put("snapshot.cm1", 66, b"\x80"), MALFORMED),
    ("packing-5", "gamma beyond 4", "tiny", put("statement.cm1", 102, b"\x05"), MALFORMED),
    ("packing-beyond-shard", "gamma = 3 with four accounts", "tiny", put("statement.cm1", 102, b"\x03"), MALFORMED),
    ("mode-2", "no such mode", "tiny", put("statement.cm1", 103, b"\x02"), MALFORMED),
    ("mode-1", "the files are those of mode 0", "tiny", put("statement.cm1", 103, b"\x01"), MALFORMED),
    ("mode-0", "the files are those of mode 1", "tiny_bounded", put("statement.cm1", 103, b"\x00"), MALFORMED),
    ("totals-count-2", "two totals for three columns", "tiny", put("totals.cm1", 41, b"\x02"), MALFORMED),
    ("totals-missing", "book mode without totals", "tiny", remove("totals.cm1"), MALFORMED),
    ("auxtotals-missing", "a disclosed auxiliary without total", "tiny", remove("auxtotals.cm1"), MALFORMED),
    ("projection-equals-order", "z_0 is the order", "tiny_bounded", scalar(SHARD, MASK_END, ORDER), MALFORMED),
    ("relation-coefficient", "a coefficient of the file", "tiny", flip("relation.cm1", 337), V2),
    ("relation-of-the-prover", "the same, digests made to match", "tiny", linked(flip("relation.cm1", 337)), V2),
    ("wrong-policy-digest", "policy of the statement", "tiny", flip("statement.cm1", 101), V2),
    ("wrong-snapshot-digest", "snapshot of the statement", "tiny", flip("statement.cm1", 37), V2),
    ("wrong-relation-digest", "relation of the statement", "tiny", flip("statement.cm1", 69), V2),
    ("wrong-time", "as_of of the snapshot", "tiny", flip("snapshot.cm1", 25), V2),
    ("wrong-position-root", "root of the snapshot", "tiny", flip("snapshot.cm1", ROOT), V3),
    ("wrong-slack-root", "root of the statement", "tiny", flip("statement.cm1", 104), V3),
    ("wrong-leaf", "a leaf with the other sign", "tiny", flip("positions.cm1", 14), V3),
    ("exchanged-leaves", "two leaves exchanged", "tiny", exchange("positions.cm1", 14, 47, 33), V3),
    ("exchanged-slack-rows", "two slack rows exchanged", "tiny", exchange("slack.cm1", 14, 47, 33), V3),
    ("proof-of-another-statement", "statement digest of the shard", "tiny", flip(SHARD, 6), V4),
    ("proof-of-another-shard", "index of the shard", "tiny", put(SHARD, 45, b"\x01"), V4),
    ("projection-too-large", "z_0 = 2^(Y + 1)", "tiny_bounded", scalar(SHARD, MASK_END, 2**154), V4),
    (
        "projection-too-small",
        "z_127 = -2^(Y + 1)",
        "tiny_bounded",
        scalar(SHARD, MASK_END + 127 * SCALAR, ORDER - 2**154),
        V4,
    ),
    (
        "exchanged-leaves-relinked",
        "two leaves exchanged, roots and digests made to match",
        "tiny",
        linked(exchange("positions.cm1", 14, 47, 33)),
        V6,
    ),
    ("copied-leaf-relinked", "one position committed twice", "tiny", linked(copy_point), V6),
    ("negated-leaves-relinked", "all positions negated", "tiny", linked(negate_points("positions.cm1")), V6),
    (
        "exchanged-slack-rows-relinked",
        "two slack rows exchanged, root and digests made to match",
        "tiny",
        linked(exchange("slack.cm1", 14, 47, 33)),
        V6,
    ),
    ("negated-mask", "C_M with the other sign", "tiny", flip(SHARD, MASK), V6),
    ("round-coefficient", "a coefficient of round 1", "tiny", add_to_scalar(SHARD, MASK_END, 1), V6),
    ("round-exchanged", "rounds 2 and 3 exchanged", "tiny", exchange(SHARD, MASK_END + 128, MASK_END + 192, 64), V6),
    ("beta", "the claimed value", "tiny", add_to_scalar(SHARD, BETA, 1), V6),
    ("beta-mirrored", "1 - beta, for which beta^2 - beta is the same", "tiny", mirror_beta, V6),
    ("negated-nonce", "Gamma with the other sign", "tiny", flip(SHARD, NONCE), V6),
    ("opening-value", "u", "tiny", add_to_scalar(SHARD, VALUE, -1), V6),
    ("exchanged-fold", "E and E' of the first fold exchanged", "tiny", exchange(SHARD, FOLDS, FOLDS + 33, 33), V6),
    ("exchanged-folds", "folds 1 and 2 exchanged", "tiny", exchange(SHARD, FOLDS, FOLDS + 66, 66), V6),
    ("last-scalar", "the last scalar", "tiny", add_to_scalar(SHARD, END - SCALAR, 1), V6),
    ("exchanged-last-scalars", "two of the last scalars", "tiny", exchange(SHARD, LAST, LAST + 32, 32), V6),
    ("projection", "z_0 by one", "tiny_bounded", add_to_scalar(SHARD, MASK_END, 1), V6),
    ("totals-of-another-snapshot", "snapshot digest of the totals", "tiny", flip("totals.cm1", 6), V7),
    ("total-too-small", "the total of usd less one", "tiny", put("totals.cm1", 56, b"\x04\x00"), V7),
    (
        "total-moved",
        "one btc written as usd",
        "tiny",
        both(put("totals.cm1", 57, b"\x02"), put("totals.cm1", 73, b"\x4a")),
        V7,
    ),
    ("total-at-bound", "a total of 2^120", "tiny", put("totals.cm1", 42, b"\x01" + bytes(15)), V7),
    ("total-below-bound", "a total of -2^120", "tiny", put("totals.cm1", 42, b"\xff" + bytes(15)), V7),
    ("totals-response", "the response s", "tiny", add_to_scalar("totals.cm1", 123, 1), V7),
    ("auxtotals-of-another-statement", "their statement digest", "tiny", flip("auxtotals.cm1", 6), V8),
    ("auxiliary-total", "the total by one", "tiny", put("auxtotals.cm1", 57, b"\x0b"), V8),
    ("auxiliary-total-negative", "a total of -1", "tiny", put("auxtotals.cm1", 42, b"\xff" * 16), V8),
    ("auxiliary-total-at-bound", "a total of 2^120", "tiny", put("auxtotals.cm1", 42, b"\x01" + bytes(15)), V8),
    ("auxiliary-opening", "the last scalar", "tiny", add_to_scalar("auxtotals.cm1", 747, 1), V8),
]


def changes(before: Files, after: Files) -> Iterator[dict[str, Any]]:
    """Yield the edits from one set of files to another, one per file, without common head and tail."""
    for name, old in before.items():
        if name not in after:
            yield {"file": name, "remove": True}
            continue
        new = after[name]
        head = 0
        while head < min(len(old), len(new)) and old[head] == new[head]:
            head += 1
        tail = 0
        while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        if old != new:
            data = new[head : len(new) - tail]
            yield {"file": name, "offset": head, "delete": len(old) - head - tail, "insert": data.hex()}


def apply(files: Files, edits: list[dict[str, Any]]) -> None:
    """Do the edits of a vector."""
    for edit in edits:
        if edit.get("remove"):
            del files[edit["file"]]
        else:
            splice(edit["file"], edit["offset"], edit["delete"], bytes.fromhex(edit["insert"]))(files)


def write() -> None:
    """Write the vectors."""
    entries = []
    for name, description, proof, edit, expected in VECTORS:
        files = load(proof)
        edit(files)
        family, step = (expected, None) if isinstance(expected, str) else expected
        entry: dict[str, Any] = {"id": name, "description": description, "proof": proof}
        entry["edits"] = list(changes(load(proof), files))
        entry["expected"] = {"family": family} if step is None else {"family": family, "step": step}
        entries.append(entry)
    sys.stdout.write(json.dumps({"suite": "crossmargin/1", "vectors": entries}, indent=1) + "\n")


def run(arithmetic: Arithmetic) -> int:
    """Verify every vector; return the number of those that are not refused as expected."""
    asserts = "off"
    if __debug__:
        asserts = "on"
    sys.stdout.write(f"asserts: {asserts}\n")
    failures = 0
    entries = json.loads((FOLDER / "negative.json").read_text(encoding="utf-8"))["vectors"]
    proofs = {name: load(name) for name in ("tiny", "tiny_bounded")}
    for entry in entries:
        honest = proofs[entry["proof"]]
        relation = Relation.decode(honest["relation.cm1"], decode_columns(honest["columns.cm1"]))
        files = dict(honest)
        apply(files, entry["edits"])
        outcome = {"family": "accepted"}
        try:
            verify_statement(StatementFiles(files), relation, bytes(32), arithmetic=arithmetic)
        except MalformedError:
            outcome = {"family": "malformed"}
        except RejectedError as error:
            outcome = {"family": "rejected", "step": error.step}
        except CrossmarginError as error:
            outcome = {"family": type(error).__name__}
        expected = outcome == entry["expected"]
        failures += not expected
        sys.stdout.write(f"{'ok' if expected else 'FAILED'} {entry['id']} {outcome}\n")
    return failures


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write()
    elif sys.argv[1:] in (["run"], ["run", "kernel"]):
        sys.exit(1 if run(KernelArithmetic() if "kernel" in sys.argv else PLAIN) else 0)
    else:
        sys.exit(__doc__)
