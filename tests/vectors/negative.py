"""Negative vectors: books that a verifier must refuse, as edits of the two small books of protocol2.json.

Run in this folder:
    python negative.py write > negative.json    write the vectors
    python -O negative.py run [kernel]          verify every vector, in plain Python or with the compiled kernel, and
                                                fail if one is not refused as it says
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from protocol_vectors import FOLDER, Files, load, relations_of, verify

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import PRIME
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest, point_file_body
from crossmargin_verifier.protocol.merkle import shard_root, top_root

Edit = Callable[[Files], None]

COLUMNS, SNAPSHOT, POSITIONS, TOTALS, RECORDS = (
    f"snapshot/{name}.cm2" for name in ("columns", "snapshot", "positions", "totals", "records-000000")
)
RELATION, STATEMENT, SLACK, SHARD, AUXTOTALS = (
    f"statements/maintenance/{name}.cm2" for name in ("relation", "statement", "slack", "shard-000000", "auxtotals")
)
COVERAGE = "statements/coverage/"
POINT, SCALAR = 33, 32
# Offsets in the shard file of `maintenance` in `tiny`: n = 11 rounds, l = 1024, 8 folds.
MASK = 6 + 32 + 8
MASK_END = MASK + POINT
BETA = MASK_END + 24 * SCALAR
NONCE = BETA + SCALAR
VALUE = NONCE + POINT
FOLDS = VALUE + SCALAR
LAST = FOLDS + 8 * 2 * POINT
END = LAST + 4 * SCALAR
# Offsets in the record proof of `tiny`: 312 projections of 20 bytes after C_M, 2 rounds, l = 512, 7 folds.
Z = 20
R_ROUNDS = MASK_END + 312 * Z
R_NONCE = R_ROUNDS + 4 * SCALAR
R_VALUE = R_NONCE + POINT
R_FOLDS = R_VALUE + SCALAR
R_LAST = R_FOLDS + 7 * 2 * POINT
R_END = R_LAST + 4 * SCALAR


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


def tree_root(encodings: bytes, leaves: int) -> bytes:
    """Return the root over encoded points in shards of so many leaves."""
    size = leaves * POINT
    return top_root([shard_root(encodings[at : at + size], leaves) for at in range(0, len(encodings), size)])


def linked(*edits: Edit) -> Edit:
    """Do edits and then make roots and digests agree again, as a prover would who changed his mind."""

    def edit(files: Files) -> None:
        both(*edits)(files)
        snapshot = SnapshotManifest.decode(files[SNAPSHOT])
        size = snapshot.accounts_per_shard
        positions = point_file_body(files[POSITIONS], "positions.cm2", snapshot.accounts)
        snapshot = replace(snapshot, position_root=tree_root(positions, size))
        files[SNAPSHOT] = snapshot.encoded
        for name in (RECORDS, TOTALS):
            if name in files:
                put(name, 6, snapshot.digest)(files)
        for folder in {name.rpartition("/")[0] for name in files if name.startswith("statements/")}:
            statement = StatementManifest.decode(files[f"{folder}/statement.cm2"])
            rows = point_file_body(files[f"{folder}/slack.cm2"], "slack.cm2", snapshot.leaves >> statement.packing)
            relation = Relation.decode(files[f"{folder}/relation.cm2"], decode_columns(files[COLUMNS]))
            statement = replace(
                statement,
                snapshot_digest=snapshot.digest,
                relation_digest=relation.digest,
                slack_root=tree_root(rows, size >> statement.packing),
            )
            files[f"{folder}/statement.cm2"] = statement.encoded
            for name in (f"{folder}/shard-000000.cm2", f"{folder}/auxtotals.cm2"):
                if name in files:
                    put(name, 6, statement.digest)(files)

    return edit


def negate_points(name: str) -> Edit:
    """Replace every point of a file by its negative."""

    def edit(files: Files) -> None:
        count = (len(files[name]) - 14) // POINT
        both(*(flip(name, 14 + POINT * number) for number in range(count)))(files)

    return edit


def copy_point(files: Files) -> None:
    """Let account 1 have the position of account 0."""
    put(POSITIONS, 14 + POINT, files[POSITIONS][14 : 14 + POINT])(files)


def count_fewer(files: Files) -> None:
    """State one account less than there is, in the manifest and in the file of the positions."""
    put(SNAPSHOT, 73, b"\x02")(files)
    put(POSITIONS, 13, b"\x02")(files)
    splice(POSITIONS, 14 + 2 * POINT, POINT, b"")(files)


def count_more(files: Files) -> None:
    """State one account more, whose position is that of the first."""
    put(SNAPSHOT, 73, b"\x04")(files)
    put(POSITIONS, 13, b"\x04")(files)
    splice(POSITIONS, 14 + 3 * POINT, 0, files[POSITIONS][14 : 14 + POINT])(files)


def take(name: str, other: str) -> Edit:
    """Replace a file by another one of the book."""

    def edit(files: Files) -> None:
        files[name] = files[other]

    return edit


def take_from(book: str, name: str) -> Edit:
    """Replace a file by that of another book."""

    def edit(files: Files) -> None:
        files[name] = load(book)[name]

    return edit


def leave_out_totals(files: Files) -> None:
    """Leave all totals out but the auxiliary ones of one statement."""
    both(remove(TOTALS), remove(COVERAGE + "auxtotals.cm2"))(files)


def duplicate_label(files: Files) -> None:
    """Call the second column as the first."""
    splice(COLUMNS, 10 + 5, 5, files[COLUMNS][10:15])(files)


def mirror_beta(files: Files) -> None:
    """Claim 1 - beta, for which beta^2 - beta is the same."""
    beta = int.from_bytes(files[SHARD][BETA : BETA + SCALAR], "big")
    scalar(SHARD, BETA, (1 - beta) % ORDER)(files)


MALFORMED = "malformed"
V2, V3, V4, V5, V6, V7, V8 = (("rejected", step) for step in ("V2", "V3", "V4", "V5", "V6", "V7", "V8"))
ROOT = 74
"""Offset of the position root in snapshot.cm2."""

VECTORS: list[tuple[str, str, str, Edit, str | tuple[str, str]]] = [
    # id, description, book, edit, expected
    ("shard-trailing-byte", "a byte after the last field", "tiny", splice(SHARD, END, 0, b"\x00"), MALFORMED),
    ("shard-truncated", "the last byte is missing", "tiny", splice(SHARD, END - 1, 1, b""), MALFORMED),
    ("shard-empty", "no byte at all", "tiny", splice(SHARD, 0, END, b""), MALFORMED),
    ("shard-missing", "the file of the shard is missing", "tiny", remove(SHARD), MALFORMED),
    ("shard-beyond-the-book", "a second shard proof", "tiny", take(SHARD.replace("0.", "1."), SHARD), MALFORMED),
    ("shard-wrong-magic", "magic of another file", "tiny", put(SHARD, 0, b"CM2U"), MALFORMED),
    ("shard-wrong-version", "version 3", "tiny", put(SHARD, 4, b"\x00\x03"), MALFORMED),
    ("shard-version-1", "header of version 1", "tiny", put(SHARD, 0, b"CM1P\x00\x01"), MALFORMED),
    ("shard-little-endian-version", "version 2, bytes reversed", "tiny", put(SHARD, 4, b"\x02\x00"), MALFORMED),
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
    ("records-missing", "a shard without record proof", "tiny", remove(RECORDS), MALFORMED),
    ("records-missing-alone", "a stand-alone account without record proof", "tiny_one", remove(RECORDS), MALFORMED),
    ("records-trailing-byte", "a byte after the last field", "tiny", splice(RECORDS, R_END, 0, b"\x00"), MALFORMED),
    ("records-truncated", "the last byte is missing", "tiny", splice(RECORDS, R_END - 1, 1, b""), MALFORMED),
    ("records-z-shorter", "z_0 of 19 bytes", "tiny", splice(RECORDS, MASK_END, 1, b""), MALFORMED),
    ("records-z-longer", "z_0 of 21 bytes", "tiny", splice(RECORDS, MASK_END, 0, b"\x00"), MALFORMED),
    ("records-of-one-account", "the record proof of tiny_one", "tiny", take_from("tiny_one", RECORDS), MALFORMED),
    ("records-of-many", "the record proof of tiny", "tiny_one", take_from("tiny", RECORDS), MALFORMED),
    ("records-wrong-magic", "magic of a shard proof", "tiny", put(RECORDS, 0, b"CM2P"), MALFORMED),
    ("records-beyond-the-book", "a second one", "tiny", take(RECORDS.replace("0.", "1."), RECORDS), MALFORMED),
    ("records-scalar", "p_1 of round 1 is the order", "tiny", scalar(RECORDS, R_ROUNDS, ORDER), MALFORMED),
    ("records-point", "C_M of 33 zero bytes", "tiny", put(RECORDS, MASK, bytes(33)), MALFORMED),
    ("positions-count-wrong", "count 4, bytes for 3", "tiny", put(POSITIONS, 13, b"\x04"), MALFORMED),
    ("positions-count-huge", "count 2^64 - 1", "tiny", put(POSITIONS, 6, b"\xff" * 8), MALFORMED),
    ("positions-short", "one point less", "tiny", splice(POSITIONS, 80, 33, b""), MALFORMED),
    ("positions-for-empty-leaves", "N points", "tiny", splice(POSITIONS, 113, 0, bytes(33)), MALFORMED),
    ("positions-identity", "a leaf without a point", "tiny", put(POSITIONS, 14, bytes(33)), MALFORMED),
    ("slack-count-wrong", "count 1, bytes for 2", "tiny", put(SLACK, 13, b"\x01"), MALFORMED),
    ("slack-is-positions", "the file of the positions", "tiny", put(SLACK, 0, b"CM2X"), MALFORMED),
    ("columns-not-utf8", "a label that is not UTF-8", "tiny", put(COLUMNS, 12, b"\xff"), MALFORMED),
    ("columns-empty-label", "a label of length 0", "tiny", splice(COLUMNS, 10, 5, b"\x00\x00"), MALFORMED),
    ("columns-label-twice", "two columns of one name", "tiny", duplicate_label, MALFORMED),
    ("columns-count-huge", "2^32 - 1 columns", "tiny", put(COLUMNS, 6, b"\xff" * 4), MALFORMED),
    ("columns-none", "no column", "tiny", splice(COLUMNS, 9, 17, b"\x00"), MALFORMED),
    ("relation-flag-2", "a disclosed flag of 2", "tiny", put(RELATION, 65, b"\x02"), MALFORMED),
    ("relation-hidden-array", "M = 1", "tiny", put(RELATION, 49, b"\x01"), MALFORMED),
    ("relation-rows-huge", "2^32 - 1 rows", "tiny", put(RELATION, 50, b"\xff" * 4), MALFORMED),
    ("relation-trailing-byte", "a byte after the last", "tiny", splice(RELATION, 574, 0, b"\x00"), MALFORMED),
    ("snapshot-accounts-3", "N is no power of two", "tiny", put(SNAPSHOT, 65, b"\x03"), MALFORMED),
    ("snapshot-accounts-0", "N = 0", "tiny", put(SNAPSHOT, 65, b"\x00"), MALFORMED),
    ("snapshot-mostly-empty", "N = 8 for three accounts", "tiny", put(SNAPSHOT, 65, b"\x08"), MALFORMED),
    ("snapshot-shard-of-one", "N = 2^20 for one account", "tiny_one", put(SNAPSHOT, 63, b"\x10\x00\x00"), MALFORMED),
    ("snapshot-no-account", "n = 0", "tiny", put(SNAPSHOT, 73, b"\x00"), MALFORMED),
    ("snapshot-too-large", "n = 2^42", "tiny", put(SNAPSHOT, 66, (2**42).to_bytes(8, "big")), MALFORMED),
    ("snapshot-one-more", "n = 4 for three points", "tiny", put(SNAPSHOT, 73, b"\x04"), MALFORMED),
    ("snapshot-one-less", "n = 2 for three points", "tiny", put(SNAPSHOT, 73, b"\x02"), MALFORMED),
    ("packing-5", "gamma beyond 4", "tiny", put(STATEMENT, 134, b"\x05"), MALFORMED),
    ("packing-beyond-shard", "gamma = 3 with four places", "tiny", put(STATEMENT, 134, b"\x03"), MALFORMED),
    ("totals-count-2", "two totals for three columns", "tiny", put(TOTALS, 41, b"\x02"), MALFORMED),
    ("totals-missing", "auxiliary totals without totals", "tiny", remove(TOTALS), MALFORMED),
    ("totals-half-left-out", "those of one statement alone", "tiny", leave_out_totals, MALFORMED),
    ("auxtotals-missing", "totals without auxiliary totals", "tiny", remove(AUXTOTALS), MALFORMED),
    ("relation-coefficient", "a coefficient of the file", "tiny", flip(RELATION, 573), V2),
    ("relation-of-the-prover", "the same, digests made to match", "tiny", linked(flip(RELATION, 573)), V2),
    ("wrong-policy-digest", "policy of the statement", "tiny", flip(STATEMENT, 101), V2),
    ("wrong-model-digest", "model of the statement", "tiny", flip(STATEMENT, 133), V2),
    ("wrong-snapshot-digest", "snapshot of the statement", "tiny", flip(STATEMENT, 37), V2),
    ("wrong-relation-digest", "relation of the statement", "tiny", flip(STATEMENT, 69), V2),
    ("wrong-time", "as_of of the snapshot", "tiny", flip(SNAPSHOT, 25), V2),
    ("wrong-position-root", "root of the snapshot", "tiny", flip(SNAPSHOT, ROOT), V2),
    ("wrong-slack-root", "root of the statement", "tiny", flip(STATEMENT, 135), V3),
    ("wrong-leaf", "a leaf with the other sign", "tiny", flip(POSITIONS, 14), V3),
    ("exchanged-leaves", "two leaves exchanged", "tiny", exchange(POSITIONS, 14, 47, 33), V3),
    ("exchanged-slack-rows", "two slack rows exchanged", "tiny", exchange(SLACK, 14, 47, 33), V3),
    ("slack-of-another-statement", "slack rows of coverage", "tiny", take(SLACK, COVERAGE + "slack.cm2"), V3),
    ("records-of-another-snapshot", "snapshot digest of the records", "tiny", flip(RECORDS, 6), V4),
    ("records-of-another-shard", "index of the records", "tiny", put(RECORDS, 45, b"\x01"), V4),
    ("records-mask", "C_M with the other sign", "tiny", flip(RECORDS, MASK), V4),
    ("records-z", "z_0 by one", "tiny", flip(RECORDS, MASK_END + Z - 1), V4),
    ("records-z-last", "z_311 by one", "tiny", flip(RECORDS, R_ROUNDS - 1), V4),
    ("records-z-all-ones", "z_5 = 2^160 - 1", "tiny", put(RECORDS, MASK_END + 5 * Z, b"\xff" * Z), V4),
    ("records-z-exchanged", "z_0 and z_1 exchanged", "tiny", exchange(RECORDS, MASK_END, MASK_END + Z, Z), V4),
    ("records-round", "p_2 of round 2", "tiny", add_to_scalar(RECORDS, R_NONCE - SCALAR, 1), V4),
    ("records-rounds-exchanged", "both rounds", "tiny", exchange(RECORDS, R_ROUNDS, R_ROUNDS + 64, 64), V4),
    ("records-nonce", "Gamma with the other sign", "tiny", flip(RECORDS, R_NONCE), V4),
    ("records-value", "u", "tiny", add_to_scalar(RECORDS, R_VALUE, 1), V4),
    ("records-fold", "E and E' of the last fold", "tiny", exchange(RECORDS, R_LAST - 66, R_LAST - 33, 33), V4),
    ("records-last-scalar", "the last scalar", "tiny", add_to_scalar(RECORDS, R_END - SCALAR, 1), V4),
    ("records-of-one-z", "z_127 of the stand-alone account", "tiny_one", flip(RECORDS, MASK_END + 128 * Z - 1), V4),
    (
        "exchanged-leaves-relinked",
        "two leaves exchanged, roots and digests made to match",
        "tiny",
        linked(exchange(POSITIONS, 14, 47, 33)),
        V4,
    ),
    ("copied-leaf-relinked", "one position committed twice", "tiny", linked(copy_point), V4),
    ("negated-leaves-relinked", "all positions negated", "tiny", linked(negate_points(POSITIONS)), V4),
    ("one-account-less", "n = 2 with two points", "tiny", count_fewer, MALFORMED),
    ("one-account-more-relinked", "n = 4", "tiny", linked(count_more), V4),
    ("proof-of-another-statement", "statement digest of the shard", "tiny", flip(SHARD, 6), V5),
    ("proof-of-another-shard", "index of the shard", "tiny", put(SHARD, 45, b"\x01"), V5),
    (
        "exchanged-slack-rows-relinked",
        "two slack rows exchanged, root and digests made to match",
        "tiny",
        linked(exchange(SLACK, 14, 47, 33)),
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
    (
        "second-statement",
        "the last scalar of coverage",
        "tiny",
        add_to_scalar(COVERAGE + "shard-000000.cm2", 1504, 1),
        V6,
    ),
    ("totals-of-another-snapshot", "snapshot digest of the totals", "tiny", flip(TOTALS, 6), V7),
    ("total-too-large", "the total of usd and one", "tiny", put(TOTALS, 56, b"\x04\x00"), V7),
    (
        "total-moved",
        "one btc written as usd",
        "tiny",
        both(put(TOTALS, 56, b"\x04\x00"), put(TOTALS, 73, b"\x4a")),
        V7,
    ),
    ("total-at-bound", "a total of 2^120", "tiny", put(TOTALS, 42, b"\x01" + bytes(15)), V7),
    ("total-below-bound", "a total of -2^120", "tiny", put(TOTALS, 42, b"\xff" + bytes(15)), V7),
    ("totals-response", "the response s", "tiny", add_to_scalar(TOTALS, 123, 1), V7),
    ("auxtotals-of-another-statement", "their statement digest", "tiny", flip(AUXTOTALS, 6), V8),
    ("auxtotals-exchanged", "those of coverage", "tiny", take(AUXTOTALS, COVERAGE + "auxtotals.cm2"), V8),
    ("auxiliary-total", "the total by one", "tiny", put(AUXTOTALS, 57, b"\x6d"), V8),
    ("auxiliary-total-negative", "a total of -1", "tiny", put(AUXTOTALS, 42, b"\xff" * 16), V8),
    ("auxiliary-total-at-bound", "a total of 2^120", "tiny", put(AUXTOTALS, 42, b"\x01" + bytes(15)), V8),
    ("auxiliary-opening", "the last scalar", "tiny", add_to_scalar(AUXTOTALS, 763, 1), V8),
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
    for name in after.keys() - before.keys():
        yield {"file": name, "offset": 0, "delete": 0, "insert": after[name].hex()}


def apply(files: Files, edits: list[dict[str, Any]]) -> None:
    """Do the edits of a vector."""
    for edit in edits:
        if edit.get("remove"):
            del files[edit["file"]]
        else:
            files.setdefault(edit["file"], b"")
            splice(edit["file"], edit["offset"], edit["delete"], bytes.fromhex(edit["insert"]))(files)


def write() -> None:
    """Write the vectors."""
    entries = []
    for name, description, book, edit, expected in VECTORS:
        files = load(book)
        edit(files)
        family, step = (expected, None) if isinstance(expected, str) else expected
        entry: dict[str, Any] = {"id": name, "description": description, "book": book}
        entry["edits"] = list(changes(load(book), files))
        entry["expected"] = {"family": family} if step is None else {"family": family, "step": step}
        entries.append(entry)
    sys.stdout.write(json.dumps({"suite": "crossmargin/2", "vectors": entries}, indent=1) + "\n")


def run(arithmetic: Arithmetic) -> int:
    """Verify every vector; return the number of those that are not refused as expected."""
    asserts = "off"
    if __debug__:
        asserts = "on"
    sys.stdout.write(f"asserts: {asserts}\n")
    failures = 0
    entries = json.loads((FOLDER / "negative.json").read_text(encoding="utf-8"))["vectors"]
    for entry in entries:
        files = load(entry["book"])
        relations = relations_of(files)
        apply(files, entry["edits"])
        outcome = {"family": "accepted"}
        try:
            verify(files, relations, arithmetic=arithmetic)
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
