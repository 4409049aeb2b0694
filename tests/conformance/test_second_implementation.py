"""The executable specification, spec/verifier.py, accepts the complete proofs of the test vectors and refuses others.

It shares no code with the project: it shows that the text of SPEC determines the bytes.
"""

import ast
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
VERIFIER = ROOT / "spec" / "verifier.py"
VECTORS, SHARDS, NEGATIVE = (
    json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("protocol2", "shards", "negative")
)
RECORDS = "snapshot/records-000000.cm2"
SHARD = "statements/maintenance/shard-000000.cm2"


@pytest.fixture(scope="session")
def spec() -> ModuleType:
    loading = importlib.util.spec_from_file_location("spec_verifier", VERIFIER)
    assert loading is not None
    assert loading.loader is not None
    module = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(module)
    return module


def files_of(name: str) -> dict[str, bytes]:
    return {file: bytes.fromhex(data) for file, data in VECTORS[name]["files"].items()}


def changed(name: str, file: str, at: int, value: int = 1) -> dict[str, bytes]:
    files = files_of(name)
    at %= len(files[file])
    data = files[file]
    return {**files, file: data[:at] + bytes([data[at] ^ value]) + data[at + 1 :]}


def test_it_imports_the_standard_library_alone() -> None:
    for node in ast.walk(ast.parse(VERIFIER.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["tiny", "tiny_one"])
def test_complete_vectors(spec: ModuleType, name: str) -> None:
    vector = VECTORS[name]
    snapshot_files, statement_files = spec.parts(files_of(name))
    snapshot = spec.Snapshot(snapshot_files)
    assert snapshot.digest.hex() == vector["snapshot_digest"]
    assert (snapshot.N, snapshot.n, snapshot.S) == (vector["N"], vector["n"], vector["S"])
    columns = [account["x"] for account in vector["accounts"]]
    assert snapshot.check() == ([sum(entries) for entries in zip(*columns, strict=True)] if name == "tiny" else None)
    assert statement_files.keys() == vector["statement_digests"].keys()
    for title, files in statement_files.items():
        statement = spec.Statement(snapshot, files)
        assert statement.digest.hex() == vector["statement_digests"][title]
        auxiliaries = [each[statement.K :] for each in vector["values"][title]]
        totals = [sum(each[u] for each in auxiliaries) for u in statement.disclosed]
        assert statement.check() == (totals if name == "tiny" else None)


def test_several_shards(spec: ModuleType) -> None:
    files = {file: bytes.fromhex(data) for file, data in SHARDS["files"].items()}
    snapshot_files, statement_files = spec.parts(files)
    snapshot = spec.Snapshot(snapshot_files)
    assert snapshot.digest.hex() == SHARDS["snapshot_digest"]
    assert (snapshot.N, snapshot.n, snapshot.S) == (SHARDS["N"], SHARDS["n"], SHARDS["S"])
    assert [len(snapshot.accounts(shard)) for shard in range(snapshot.S)] == [2, 2, 1]
    snapshot.check_records(snapshot.S - 1)
    statement = spec.Statement(snapshot, statement_files["maintenance"])
    statement.check_shard(snapshot.S - 1)
    receipt, account = bytes.fromhex(SHARDS["receipt4"]), SHARDS["accounts"][4]
    public = files["snapshot/snapshot.cm2"], files["snapshot/columns.cm2"]
    assert spec.check_receipt(receipt, *public, account["id"], account["x"]) == 4


@pytest.mark.slow
def test_several_shards_whole(spec: ModuleType) -> None:
    assert list(spec.verify({file: bytes.fromhex(data) for file, data in SHARDS["files"].items()}))


def test_every_challenge(spec: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []
    challenge = spec.Transcript.challenge

    def record(transcript: object, label: str) -> int:
        value: int = challenge(transcript, label)
        drawn.append([label, f"{value:064x}"])
        return value

    monkeypatch.setattr(spec.Transcript, "challenge", record)
    expected = VECTORS["tiny_one"]["challenges_in_order"]
    list(spec.verify(files_of("tiny_one")))
    assert drawn == [*expected["snapshot"], *expected["maintenance"]]


def test_record_parameters(spec: ModuleType) -> None:
    snapshot = spec.Snapshot(spec.parts(files_of("tiny"))[0])
    given = next(each for each in VECTORS["record_parameters"] if (each["N"], each["V"]) == (1, 3))
    one = spec.Snapshot(spec.parts(files_of("tiny_one"))[0])
    assert (one.P, one.B, one.b) == (given["P"], given["Bb"], given["zb"])
    assert len(files_of("tiny_one")[RECORDS]) == given["size"]
    assert (snapshot.P, snapshot.bound) == (312, 2 ** (8 * snapshot.b + 1))


def test_projections(spec: ModuleType) -> None:
    vector = VECTORS["projections_of_seed_zero"]
    snapshot = spec.Snapshot(spec.parts(files_of("tiny"))[0])
    snapshot.N, snapshot.V = vector["N"], vector["V"]
    alpha, beta = snapshot.projections(bytes(32))
    assert [each.to_bytes(39, "little").hex() for each in alpha] == vector["alpha"]
    assert [each.to_bytes(39, "little").hex() for each in beta] == vector["beta"]
    one = spec.Snapshot(spec.parts(files_of("tiny_one"))[0])
    assert [each.to_bytes(16, "little").hex() for each in one.projections(bytes(32))[1]] == vector["N1_beta"]


@pytest.mark.parametrize(
    ("file", "at", "step"),
    [
        (RECORDS, -1, "V4"),
        (RECORDS, 6, "V4"),
        (RECORDS, 45, "V4"),
        (SHARD, -1, "V6"),
        (SHARD, 45, "V5"),
        ("snapshot/positions.cm2", -1, "V3"),
        ("snapshot/columns.cm2", -1, "V2"),
        ("snapshot/snapshot.cm2", 25, "V2"),
        ("snapshot/snapshot.cm2", -1, "V2"),
        ("statements/maintenance/statement.cm2", -1, "V3"),
        ("statements/maintenance/statement.cm2", 110, "V2"),
        ("statements/maintenance/relation.cm2", -1, "V2"),
        ("statements/maintenance/relation.cm2", 49, "V1"),
    ],
)
def test_changed_files_are_refused(spec: ModuleType, file: str, at: int, step: str) -> None:
    with pytest.raises(spec.RejectedError, match=f"^{step}"):
        list(spec.verify(changed("tiny_one", file, at)))


def edited(vector: dict) -> dict[str, bytes]:
    files = files_of(vector["book"])
    for edit in vector["edits"]:
        if edit.get("remove"):
            del files[edit["file"]]
            continue
        data, at = files.get(edit["file"], b""), edit["offset"]
        files[edit["file"]] = data[:at] + bytes.fromhex(edit["insert"]) + data[at + edit["delete"] :]
    return files


OWN_POLICY = {"relation-of-the-prover", "wrong-policy-digest"}
"""What a verifier refuses by the policy that it was given, which the executable specification was not."""

EQUATIONS = {"V4", "V6", "V7", "V8"}
SOME = {"records-z", "one-account-more-relinked", "second-statement", "total-moved", "auxiliary-total-negative"}
"""Vectors of every equation in the default run: one that does not hold takes a second or more here."""


def cost(vector: dict) -> list[pytest.MarkDecorator]:
    late = vector["id"].startswith(("auxtotals", "totals", "point", "scalar", "last-scalar", "records"))
    slow = vector["expected"].get("step") in EQUATIONS or late or vector["id"] == "relation-of-the-prover"
    return [pytest.mark.slow] if slow and vector["id"] not in SOME else []


@pytest.mark.parametrize(
    "vector", [pytest.param(each, id=each["id"], marks=cost(each)) for each in NEGATIVE["vectors"]]
)
def test_negative_vectors(spec: ModuleType, vector: dict) -> None:
    """Check the parts that the vector edits, and all that depend on them; the others are checked above."""
    files, names = edited(vector), {edit["file"] for edit in vector["edits"]}
    with pytest.raises(spec.RejectedError) as refused:
        in_snapshot, in_statements = spec.parts(files)
        snapshot = spec.Snapshot(in_snapshot)
        statements = {name: spec.Statement(snapshot, found) for name, found in in_statements.items()}
        if any(name.startswith("snapshot/") for name in names):
            snapshot.check()
        for name, statement in statements.items():
            if any(edit.startswith(f"statements/{name}/") for edit in names):
                statement.check()
    if vector["id"] not in OWN_POLICY and vector["expected"]["family"] == "rejected":
        assert str(refused.value).startswith(vector["expected"]["step"])


@pytest.mark.parametrize("name", ["tiny", "tiny_one"])
def test_every_file_is_needed(spec: ModuleType, name: str) -> None:
    for file in files_of(name):
        remaining = {path: data for path, data in files_of(name).items() if path != file}
        if file == "snapshot/totals.cm2":
            # Totals are left out together: then auxiliary totals have no place.
            with pytest.raises(spec.RejectedError, match="V1: no place in a statement for auxtotals"):
                list(spec.verify(remaining))
        elif "shard" not in file:
            with pytest.raises(spec.RejectedError, match="V1"):
                list(spec.verify(remaining))


@pytest.mark.parametrize(
    "file",
    ["snapshot/records-000001.cm2", "statements/maintenance/shard-000001.cm2", "snapshot/model.cm2", "slack.cm2"],
)
def test_files_without_a_place(spec: ModuleType, file: str) -> None:
    with pytest.raises(spec.RejectedError, match="V1: no place"):
        list(spec.verify({**files_of("tiny_one"), file: b""}))


@pytest.mark.parametrize("name", ["tiny", "tiny_one"])
def test_receipt(spec: ModuleType, name: str) -> None:
    vector, files = VECTORS[name], files_of(name)
    receipt, account = bytes.fromhex(vector["receipt0"]), vector["accounts"][0]
    public = files["snapshot/snapshot.cm2"], files["snapshot/columns.cm2"]
    assert spec.check_receipt(receipt, *public, account["id"], account["x"]) == 0
    for step, holder, record in (("H2", "user1@example.org", account["x"]), ("H2", account["id"], [1, 2, 3])):
        with pytest.raises(spec.RejectedError, match=step):
            spec.check_receipt(receipt, *public, holder, record)
    if name == "tiny":
        with pytest.raises(spec.RejectedError, match="H4"):
            spec.check_receipt(receipt[:-1] + bytes([receipt[-1] ^ 1]), *public, account["id"], account["x"])
    beyond = receipt[:38] + vector["n"].to_bytes(8, "big") + receipt[46:]
    with pytest.raises(spec.RejectedError, match="H3"):
        spec.check_receipt(beyond, *public, account["id"], account["x"])
    with pytest.raises(spec.RejectedError, match="H1"):
        spec.check_receipt(receipt, public[0][:-1] + b"\0", public[1], account["id"], account["x"])


def anchored(spec: ModuleType, key: int = 7) -> dict[str, bytes]:
    """Put bundle.json, anchor.json and its signature around the files of a vector, with a small key and nonce."""
    files, vector = files_of("tiny_one"), VECTORS["tiny_one"]
    base = spec.lift(0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0)
    receipt_key = spec.encode(spec.combine([(key, base)])).hex()
    snapshot = vector["snapshot_digest"]
    files["bundle.json"] = canonical(
        {"receipt_key": receipt_key, "snapshot": snapshot, "statements": ["maintenance"], "venue": "a venue"}
    )
    statement = {
        "name": "maintenance",
        "policy": vector["policy_digest"],
        "statement": vector["statement_digests"]["maintenance"],
    }
    files["anchor.json"] = canonical(
        {
            "files": {path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
            "format": "crossmargin-anchor/1",
            "snapshot": {"as_of": vector["as_of"], "digest": snapshot},
            "statements": [statement],
            "venue": "a venue",
        }
    )
    return sign(spec, files, key)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sign(spec: ModuleType, files: dict[str, bytes], key: int) -> dict[str, bytes]:
    base = spec.lift(0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0)
    first = spec.combine([(5, base)])[0] % spec.R
    message = int.from_bytes(spec.tagged("bundle", files["anchor.json"]), "big")
    second = (message + first * key) * pow(5, -1, spec.R) % spec.R
    second = min(second, spec.R - second)
    return {**files, "anchor.sig": first.to_bytes(32, "big") + second.to_bytes(32, "big")}


def test_anchored_bundle(spec: ModuleType) -> None:
    files = anchored(spec)
    lines = list(spec.verify({**files, "summary.json": b"carries no weight"}))
    assert lines[0].endswith(hashlib.sha256(files["anchor.json"]).hexdigest())


def test_anchor_that_fixes_something_else(spec: ModuleType) -> None:
    files = anchored(spec)
    anchor = json.loads(files["anchor.json"])
    for path, reason in (
        ("bundle.json", "not the one that anchor.json lists"),
        ("anchor.json", "did not sign"),
        ("anchor.sig", "did not sign"),
    ):
        data = files[path].replace(b"a venue", b"b venue") if path != "anchor.sig" else files[path][:-1] + b"\0"
        with pytest.raises(spec.RejectedError, match=f"B: .*{reason}"):
            list(spec.verify({**files, path: data}))
    with pytest.raises(spec.RejectedError, match="did not sign"):
        list(spec.verify(sign(spec, files, key=8)))
    for change in (
        {"snapshot": {**anchor["snapshot"], "digest": "00" * 32}},
        {"statements": [{**anchor["statements"][0], "policy": "11" * 32}]},
        {"statements": []},
        {"venue": "another"},
    ):
        with pytest.raises(spec.RejectedError, match=r"B: anchor\.json is about something else"):
            list(spec.verify(sign(spec, {**files, "anchor.json": canonical({**anchor, **change})}, key=7)))
    unlisted = {path: digest for path, digest in anchor["files"].items() if path != SHARD}
    with pytest.raises(spec.RejectedError, match="B: not listed"):
        list(spec.verify(sign(spec, {**files, "anchor.json": canonical({**anchor, "files": unlisted})}, key=7)))


def test_command(tmp_path: Path) -> None:
    files = files_of("tiny_one")
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)

    def run() -> tuple[int, str]:
        finished = subprocess.run([sys.executable, VERIFIER, tmp_path], capture_output=True, text=True, check=False)
        return finished.returncode, finished.stdout

    code, printed = run()
    assert code == 0, printed
    assert f"snapshot digest  {VECTORS['tiny_one']['snapshot_digest']}" in printed
    assert VECTORS["tiny_one"]["statement_digests"]["maintenance"] in printed
    assert "VERIFIED" in printed
    points = files["snapshot/positions.cm2"]
    (tmp_path / "snapshot" / "positions.cm2").write_bytes(points[:-1] + bytes([points[-1] ^ 1]))
    code, printed = run()
    assert code == 1
    assert "REJECTED: V3" in printed
