"""Bundles of at most 100 kB that cost a verifier as much as their author could think of, and what they cost.

    python -m benchmarks.hostile_bundles [--kernel] [--patient]

Each is well-formed up to the last multiplication, or to the limit that refuses it; none is a proof of anything. A
bundle is checked in a fresh process, in plain Python or with the kernel in one thread: its processor seconds, and the
most memory that it held.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.expression import (
    Expression,
    Linear,
    Max,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
)
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout, columns_digest, encode_columns
from crossmargin_circuits.policy import POLICY_FILE, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_circuits.relation import Relation
from crossmargin_prover.signing import SigningKey
from crossmargin_verifier.bundle.anchor import (
    ANCHOR_FILE,
    ANCHOR_SIGNATURE_FILE,
    SNAPSHOT_FOLDER,
    STATEMENTS_FOLDER,
    Anchor,
    AnchoredStatement,
)
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.declarations import (
    BUNDLE_FILE,
    RESERVES_FILE,
    BundleManifest,
    DeclaredReserves,
    Totals,
)
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.generators import value_generator
from crossmargin_verifier.protocol.group import encode_point
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    NO_MODEL,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    records_file,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape, folds

__all__ = ["HOSTILE", "MAX_BYTES", "check", "measure", "write"]

MAX_BYTES = 100_000
"""Bytes of a hostile bundle."""

MAX_COEFFICIENTS = 4000
"""Coefficients of a relation, 16 bytes each; the policy of a larger one comes with a relation of one row."""

POINT = encode_point(value_generator())
SCALAR = bytes(32)
VENUE = "hostile"


@dataclass(frozen=True)
class Plan:
    """A bundle: its policies, n accounts in shards of N, G = 2^packing."""

    policies: Sequence[Policy]
    accounts: int = 1
    shard: int = 1
    packing: int = 0


def layout(columns: int) -> RecordLayout:
    """Return columns with short names."""
    return RecordLayout(tuple(Column(ColumnKind.BALANCE, f"A{n}", f"1 A{n}", 9) for n in range(columns)))


def policy(
    requirement: Expression,
    arrays: Sequence[RiskArray],
    columns: RecordLayout,
    before: Sequence[Definition] = (),
    inputs: object = None,
) -> Policy:
    """Return a solvency policy with this requirement, whose equity is the first array."""
    gap = Sum((Reference("r"), Scale(-1, Reference("e"))))
    definitions = (
        *before,
        Definition("e", "e", Role.EQUITY, Linear(arrays[0].name)),
        Definition("r", "r", Role.REQUIREMENT, requirement),
        Definition("s", "s", Role.SHORTFALL, gap),
    )
    given = {"x": inputs} if inputs is not None else {}
    unit = ValueUnit("USD", "1")
    return Policy(PolicyKind.SOLVENCY, VENUE, "t", 0, unit, columns, tuple(arrays), definitions, (), given)


def scenarios(count: int, columns: int = 1) -> tuple[RiskArray, ...]:
    """Return arrays a0 .. whose forms differ."""
    return tuple(RiskArray(f"a{n}", "m", (n + 1, *([0] * (columns - 1)))) for n in range(count))


def many_rows(count: int, columns: int = 1) -> Policy:
    """Return a policy with a row for each scenario: 64 G generators for some hundred bytes."""
    given = scenarios(count, columns)
    return policy(PositivePart(Max(tuple(Linear(each.name) for each in given))), given, layout(columns))


def doubled(levels: int) -> Policy:
    """Return a policy whose abbreviations double one another: the nodes grow as the power of two."""
    given = scenarios(2)
    links = [Definition("d0", "d", Role.ABBREVIATION, PositivePart(Sum((Linear("a0"), Scale(-1, Linear("a1"))))))]
    for level in range(1, levels):
        twice = Sum((Reference(f"d{level - 1}"), Reference(f"d{level - 1}")))
        links.append(Definition(f"d{level}", "d", Role.ABBREVIATION, twice))
    return policy(Reference(f"d{levels - 1}"), given, layout(1), links)


def repeated(levels: int) -> Policy:
    """Return a policy whose maxima double and have but two forms: much work for two rows."""
    links = [Definition("d0", "d", Role.ABBREVIATION, PositivePart(Max((Linear("a0"), Linear("a1")))))]
    for level in range(1, levels):
        twice = Max((Reference(f"d{level - 1}"), Reference(f"d{level - 1}")))
        links.append(Definition(f"d{level}", "d", Role.ABBREVIATION, twice))
    return policy(Reference(f"d{levels - 1}"), scenarios(2), layout(1), links)


def largest(count: int, operands: int) -> Policy:
    """Return a policy with a sum of the largest of many: an auxiliary and a row each."""
    given = scenarios(operands)
    return policy(SumLargest(count, tuple(Linear(each.name) for each in given)), given, layout(1))


HOSTILE: dict[str, Callable[[], Plan]] = {
    "generators up to the limit": lambda: Plan([many_rows(100)], 80, 64),
    "many accounts in a row": lambda: Plan([many_rows(100)], 512, 512, 4),
    "hundreds of rows": lambda: Plan([many_rows(230)], 16, 16, 4),
    "many small shards": lambda: Plan([many_rows(2)], 18, 1),
    "one large shard": lambda: Plan([many_rows(3)], 1000, 512),
    "abbreviations that double": lambda: Plan([doubled(12)]),
    "twelve policies that double": lambda: Plan([doubled(11)] * 12),
    "maxima that repeat": lambda: Plan([repeated(13)]),
    "fifteen policies that repeat": lambda: Plan([repeated(13)] * 15),
    "twelve small statements": lambda: Plan([many_rows(1)] * 12),
    "largest of many": lambda: Plan([largest(10, 60)]),
    "many columns": lambda: Plan([policy(Linear("a0"), scenarios(2, 400), layout(400))]),
    "scenarios times columns": lambda: Plan([many_rows(60, 60)]),
    "dense arrays": lambda: Plan([many_rows(100, 230)]),
    "junk in the inputs": lambda: Plan(
        [policy(Linear("a0"), scenarios(1), layout(1), inputs=[[] for _ in range(30_000)])]
    ),
}


def measure(name: str, *, kernel: bool = False, patient: bool = False) -> dict[str, Any]:
    """Write a bundle, and check it in a fresh process; return its bytes, seconds, peak memory in bytes, and end."""
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder) / "bundle", HOSTILE[name]())
        command = [sys.executable, "-m", "benchmarks.hostile_bundles", "--check", f"{folder}/bundle"]
        command += ["--kernel"] * kernel + ["--patient"] * patient
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    reason, seconds, held = json.loads(done.stdout)
    return {"bytes": size, "seconds": seconds, "memory": held, "end": reason}


def check(folder: Path, *, kernel: bool = False, patient: bool = False) -> tuple[str, float, int]:
    """Check a bundle here; return how it ends, its processor seconds, and the most bytes held."""
    arithmetic = KernelArithmetic(1) if kernel else PLAIN
    started = time.process_time()
    try:
        reason = str(check_bundle(folder, arithmetic=arithmetic, patient=patient).outcome)
    except CrossmarginError as error:
        reason = f"{type(error).__name__}: {error}"
    return reason, time.process_time() - started, _most_held()


def _most_held() -> int:
    """Return the most bytes that this process held in memory, by the kernel of Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def write(folder: Path, plan: Plan) -> int:
    """Write the bundle of a plan; return its bytes."""
    key = SigningKey.generate()
    labels = plan.policies[0].layout.labels
    positions = POINT * plan.accounts
    size = plan.shard * len(POINT)
    roots = [shard_root(positions[start : start + size], plan.shard) for start in range(0, len(positions), size)]
    manifest = SnapshotManifest("h", 0, columns_digest(labels), plan.shard, plan.accounts, top_root(roots))
    records = RecordShape(plan.shard, len(labels))
    start = b"CM2B\0\2" + manifest.digest
    sent = bytes(records.projections * records.projection_bytes) + SCALAR * (2 * records.account_bits)
    record_opening = _opening(len(labels) + records.masks + 1)
    files = {
        f"{SNAPSHOT_FOLDER}/{COLUMNS_FILE}": encode_columns(labels),
        f"{SNAPSHOT_FOLDER}/{SNAPSHOT_FILE}": manifest.encoded,
        f"{SNAPSHOT_FOLDER}/{POSITIONS_FILE}": b"CM2X\0\2" + plan.accounts.to_bytes(8, "big") + positions,
        f"{SNAPSHOT_FOLDER}/{TOTALS_FILE}": (
            b"CM2T\0\2" + manifest.digest + len(labels).to_bytes(4, "big") + bytes(16 * len(labels)) + POINT + SCALAR
        ),
    }
    for shard in range(manifest.shards):
        data = start + shard.to_bytes(8, "big") + POINT + sent + record_opening
        files[f"{SNAPSHOT_FOLDER}/{records_file(shard)}"] = data
    stated = []
    for number, each in enumerate(plan.policies):
        statement, inside = _statement(each, manifest, plan.packing)
        stated.append(AnchoredStatement(f"s{number}", statement.digest, each.digest))
        files |= {f"{STATEMENTS_FOLDER}/s{number}/{name}": data for name, data in inside.items()}
    names = tuple(each.name for each in stated)
    declared = BundleManifest(VENUE, manifest.digest, names, key.public, Totals.OPENED, plan.accounts, 0)
    files[BUNDLE_FILE] = declared.encoded
    files[RESERVES_FILE] = DeclaredReserves(manifest.digest, "x", {}, "USD", "0").encoded
    digests = {path: hashlib.sha256(data).digest() for path, data in files.items()}
    anchor = Anchor(VENUE, manifest.digest, 0, tuple(stated), digests).encoded
    files |= {ANCHOR_FILE: anchor, ANCHOR_SIGNATURE_FILE: key.sign_anchor(anchor)}
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return sum(map(len, files.values()))


def _statement(each: Policy, snapshot: SnapshotManifest, packing: int) -> tuple[StatementManifest, dict[str, bytes]]:
    """Return the manifest and the files of a statement that proves nothing.

    A policy whose relation would not fit comes with a relation of one row.
    """
    try:
        relation = compile_policy(each, coefficients=MAX_COEFFICIENTS).relation
    except CrossmarginError:
        relation = compile_policy(policy(Linear("a0"), each.arrays[:1], each.layout)).relation
    shape = Shape.of(
        snapshot, StatementManifest(bytes(32), bytes(32), bytes(32), NO_MODEL, packing, bytes(32)), relation
    )
    rows = POINT * (shape.leaves >> packing)
    size = shape.slack_rows_per_shard * len(POINT)
    root = top_root([shard_root(rows[at : at + size], shape.slack_rows_per_shard) for at in range(0, len(rows), size)])
    statement = StatementManifest(snapshot.digest, relation.digest, each.digest, NO_MODEL, packing, root)
    files = {
        POLICY_FILE: each.encoded,
        RELATION_FILE: relation.encoded,
        STATEMENT_FILE: statement.encoded,
        SLACK_FILE: b"CM2R\0\2" + (shape.leaves >> packing).to_bytes(8, "big") + rows,
        AUXILIARY_TOTALS_FILE: _auxiliary_totals(statement, relation, shape),
    }
    sent = SCALAR * (sum(shape.degrees) + 1)
    for shard in range(shape.shards):
        start = b"CM2P\0\2" + statement.digest + shard.to_bytes(8, "big") + POINT
        files[shard_file(shard)] = start + sent + _opening(shape.opening_length)
    return statement, files


def _auxiliary_totals(statement: StatementManifest, relation: Relation, shape: Shape) -> bytes:
    count = len(relation.disclosed)
    start = b"CM2U\0\2" + statement.digest + count.to_bytes(4, "big") + bytes(16 * count)
    return start + _opening(shape.slack_length + 1)


def _opening(length: int) -> bytes:
    """Return an opening whose points and scalars are canonical."""
    return POINT + SCALAR + POINT * (2 * folds(length)) + SCALAR * 4


def main() -> None:
    """Write each bundle, check it in a fresh process, and print what it cost."""
    parser = argparse.ArgumentParser(description="What hostile bundles cost a verifier.")
    parser.add_argument("--kernel", action="store_true", help="with the compiled kernel, in one thread")
    parser.add_argument("--patient", action="store_true", help="without the limit on points")
    parser.add_argument("--check", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check is not None:
        print(json.dumps(check(options.check, kernel=options.kernel, patient=options.patient)))
        return
    print(f"{'bundle':32} {'bytes':>7} {'seconds':>8} {'MiB':>6}  end")
    for name in HOSTILE:
        found = measure(name, kernel=options.kernel, patient=options.patient)
        print(
            f"{name:32} {found['bytes']:7} {found['seconds']:8.2f} {found['memory'] / 2**20:6.0f}  {found['end'][:70]}"
        )


if __name__ == "__main__":
    main()
