"""Receipts of every holder of the small book, and what happens to one that was changed (SPEC H1 - H4)."""

import json
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import Inputs
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_prover.cli import main as prover
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import encode_receipt
from crossmargin_prover.workflow.publish import publish
from crossmargin_verifier.bundle.limits import MAX_RECEIPT_BYTES
from crossmargin_verifier.bundle.receipt_view import PRIVATE
from crossmargin_verifier.cli import main
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.inclusion import Receipt

ACCOUNTS = ("acct-a", "acct-b", "acct-c", "acct-d", "acct-e")


def verify(path: Path, bundle: Path, holder: str, *options: str) -> Result:
    """Run `crossmargin-verify receipt`; whatever happens is a message and an exit code."""
    result = CliRunner().invoke(main, ["receipt", str(path), "--bundle", str(bundle), "--id", holder, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def check(venue: Any, tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a receipt or twin, checks it and returns the refusal ("" where it holds)."""

    def run(data: bytes, *options: str, ending: str = ".json", holder: str = "acct-a") -> str:
        path = tmp_path / f"receipt{ending}"
        path.write_bytes(data)
        result = verify(path, venue.bundle, holder, *options)
        if result.exit_code == 0:
            assert "VERIFIED" in result.stdout or '"verified": true' in result.stdout
            return ""
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("REJECTED: ")
        return result.stderr[len("REJECTED: ") :].strip()

    return run


@pytest.fixture
def receipt(venue: Any) -> Receipt:
    return Receipt.decode(venue.receipt("acct-a", ".cm1").read_bytes())


@pytest.fixture
def twin(venue: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(venue.receipt("acct-a").read_bytes())
    return loaded


def encode(twin: dict[str, Any]) -> bytes:
    return json.dumps(twin).encode()


def key_of(bundle: Path) -> str:
    key: str = json.loads((bundle / "bundle.json").read_bytes())["receipt_key"]
    return key


def snapshot_of(bundle: Path) -> str:
    digest: str = json.loads((bundle / "bundle.json").read_bytes())["snapshot"]
    return digest


@pytest.mark.parametrize("ending", [".cm1", ".json"])
@pytest.mark.parametrize("account", ACCOUNTS)
def test_every_receipt_is_verified(venue: Any, account: str, ending: str) -> None:
    result = verify(venue.receipt(account, ending), venue.bundle, account)
    assert result.exit_code == 0, result.stderr
    assert f"VERIFIED: this record of {account} is leaf " in result.stdout
    assert "compare it with the publication" in result.stdout
    signed = "signature of the venue: holds (by the key in the bundle: compare it too)"
    unsigned = "signature of the venue: none"
    assert (signed if ending == ".json" else unsigned) in result.stdout
    assert result.stdout.endswith("This file shows your positions: keep it private.\n")


def test_every_account_has_one_receipt_and_leaves_differ(venue: Any, small: Inputs) -> None:
    index = json.loads((venue.receipts / "index.json").read_text(encoding="utf-8"))["receipts"]
    assert sorted(index) == sorted(small.book.accounts) == list(ACCOUNTS)
    files = {path.name for path in venue.receipts.iterdir()}
    assert files == {"index.json", *(f"{name}{ending}" for name in index.values() for ending in (".cm1", ".json"))}
    leaves = [Receipt.decode(venue.receipt(account, ".cm1").read_bytes()).index for account in ACCOUNTS]
    assert len(set(leaves)) == len(leaves)
    assert all(account not in name for account in ACCOUNTS for name in files)


def test_receipts_can_be_written_again_for_one_account(venue: Any, tmp_path: Path) -> None:
    out = tmp_path / "receipts"
    arguments = ["receipts", "--vault", str(venue.vault), "--out", str(out), "--account", "acct-c"]
    for _ in range(2):
        result = CliRunner().invoke(prover, arguments)
        assert result.exit_code == 0, result.output
    assert sorted(path.suffix for path in out.iterdir()) == [".cm1", ".json", ".json"]
    again = out / venue.receipt("acct-c").name
    assert again.read_bytes() == venue.receipt("acct-c").read_bytes()


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b"{"])
def test_damaged_index_is_refused(venue: Any, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "index.json").write_bytes(data)
    result = CliRunner().invoke(prover, ["receipts", "--vault", str(venue.vault), "--out", str(tmp_path)])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert "not an index of receipts" in result.stderr


@pytest.mark.parametrize("statement", ["maintenance", "initial"])
def test_margin_in_the_twin_is_the_engines(venue: Any, small: Inputs, statement: str) -> None:
    policy = build_policy(small.venue.venue, small.environment, small.model, statement)
    margin = evaluate(compile_policy(policy), small.book.records)

    def usd(text: str) -> int:
        amount, _, currency = text.partition(" ")
        assert currency == "USD"
        quanta = Fraction(amount.replace(",", "")) * 10**8
        assert quanta.denominator == 1
        return int(quanta)

    for number, account in enumerate(small.book.accounts):
        shown = json.loads(venue.receipt(account).read_bytes())["margin"]
        mine = next(each for each in shown if each["statement"] == statement)
        assert mine["policy"] == policy.digest.hex()
        assert usd(mine["equity"]) == margin.equity[number]
        assert usd(mine["requirement"]) == margin.requirement[number]
        assert usd(mine["excess"]) == margin.excess[number]
        assert usd(mine["shortfall"]) == margin.shortfall[number]
        assert mine["worst scenario"] == margin.worst_of(number)


def test_record_and_debt_in_the_twin_are_the_books(venue: Any, small: Inputs) -> None:
    for account in small.book.accounts:
        twin = json.loads(venue.receipt(account).read_bytes())
        record = small.book.record(account)
        shown = {line["column"]: int(line["units"]) for line in twin["record"]}
        labels = small.catalogue.layout().labels
        assert shown == {label: units for label, units in zip(labels, record, strict=True) if units}
        assert twin["notice"] == PRIVATE
        assert twin["account"] == account
    debts = {
        account: next(
            each["debts"]
            for each in json.loads(venue.receipt(account).read_bytes())["margin"]
            if each["statement"] == "coverage"
        )
        for account in ACCOUNTS
    }
    assert debts.pop("acct-c") == {"USDC": "5,000 USDC"}
    assert not any(debts.values())


def test_json_result_is_json_alone(venue: Any) -> None:
    result = verify(venue.receipt("acct-a"), venue.bundle, "acct-a", "--json")
    data = json.loads(result.stdout)
    assert (data["verified"], data["signed"], data["unchecked policies"]) == (True, True, [])
    assert data["receipt"] == json.loads(venue.receipt("acct-a").read_bytes())
    refused = verify(venue.receipt("acct-a"), venue.bundle, "acct-b", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["verified"] is False


# Whose receipt, and of which snapshot.


@pytest.mark.parametrize("holder", ["acct-b", "acct-A", "acct-a ", "", "acct-", "\uff41cct-a"])
def test_wrong_id_is_rejected(venue: Any, holder: str) -> None:
    for ending in (".cm1", ".json"):
        result = verify(venue.receipt("acct-a", ending), venue.bundle, holder)
        assert result.exit_code == 1
        assert "H2: the id in the receipt is not the holder's" in result.stderr


def test_expected_snapshot_is_compared(venue: Any, check: Callable[..., str]) -> None:
    data = venue.receipt("acct-a").read_bytes()
    digest = snapshot_of(venue.bundle)
    assert check(data, "--snapshot", digest) == ""
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    assert check(data, "--snapshot", other) == "H1: the snapshot is not the published one"
    shown = verify(venue.receipt("acct-a"), venue.bundle, "acct-a", "--snapshot", digest).stdout
    assert f"digest {digest} (equal to the one you gave)" in shown


def test_expected_key_is_compared(venue: Any, check: Callable[..., str]) -> None:
    data = venue.receipt("acct-a").read_bytes()
    key = key_of(venue.bundle)
    assert check(data, "--key", key) == ""
    other = ("03" if key[:2] == "02" else "02") + key[2:]
    assert check(data, "--key", other) == "signature: the bundle names another receipt key than the one expected"
    shown = verify(venue.receipt("acct-a"), venue.bundle, "acct-a", "--key", key).stdout
    assert "signature of the venue: holds\n" in shown


@pytest.mark.parametrize("options", [("--snapshot", "00"), ("--snapshot", "zz" * 32), ("--key", "00" * 32)])
def test_digest_of_the_wrong_length_is_wrong_usage(venue: Any, options: tuple[str, str]) -> None:
    result = verify(venue.receipt("acct-a"), venue.bundle, "acct-a", *options)
    assert result.exit_code == 2
    assert "bytes in hexadecimal expected" in result.stderr


def test_snapshot_of_another_book_is_rejected(venue: Any, workshop: Any, small: Inputs, tmp_path: Path) -> None:
    """The same book committed again has other nonces and another order, hence another digest."""
    policy = build_policy(small.venue.venue, small.environment, small.model, "coverage")
    again = workshop.commit(policy, [small.book.record(account) for account in small.book.accounts[:2]])
    assets = {name: str(amount) for name, amount in small.reserves.assets.items()}
    other = workshop.write(
        tmp_path / "other", again, {"coverage": workshop.prove(again, policy)}, assets, "0", policy.venue
    )
    for ending in (".cm1", ".json"):
        result = verify(venue.receipt("acct-a", ending), other, "acct-a")
        assert result.exit_code == 1
        assert "H1: the receipt is about another snapshot" in result.stderr


def test_key_of_another_venue_is_rejected(venue: Any, tmp_path: Path) -> None:
    """The signature is checked with the key of the bundle, whatever the twin says."""
    bundle = Path(shutil.copytree(venue.bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "bundle.json").read_bytes())
    manifest["receipt_key"] = SigningKey.generate().public.hex()
    (bundle / "bundle.json").write_bytes(dump_canonical(manifest))
    result = verify(venue.receipt("acct-a"), bundle, "acct-a")
    assert result.exit_code == 1
    assert "signature: not the signature of this key on these bytes" in result.stderr
    unsigned = verify(venue.receipt("acct-a", ".cm1"), bundle, "acct-a")
    assert unsigned.exit_code == 0, "without the signature the key plays no part"


def test_key_that_is_no_point_is_malformed(venue: Any, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(venue.bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "bundle.json").read_bytes())
    for key in ("00" * 33, "04" + "11" * 32, "02" + "ff" * 32, "02" + "00" * 31 + "05", "02" + "11" * 31):
        manifest["receipt_key"] = key
        (bundle / "bundle.json").write_bytes(dump_canonical(manifest))
        for ending in (".json", ".cm1"):
            assert verify(venue.receipt("acct-a", ending), bundle, "acct-a").exit_code == 1, key


# The receipt file.


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda r: replace(r, record=(*r.record[:-1], r.record[-1] + 1)), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, record=(0, *r.record[1:])), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, record=tuple(-x for x in r.record)), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, record=r.record[:-1]), "H1: 9 entries in the record, 10 columns"),
        (lambda r: replace(r, record=(*r.record, 0)), "H1: 11 entries in the record, 10 columns"),
        (lambda r: replace(r, record=(*r.record[:-1], 2**62)), "H2: column 'position"),
        (lambda r: replace(r, nonce=r.nonce[:-1] + bytes([r.nonce[-1] ^ 1])), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, nonce=bytes(32)), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, holder=""), "H2: the id is empty"),
        (lambda r: replace(r, index=r.index ^ 1), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, index=r.index + 8), "H3: index"),
        (lambda r: replace(r, index=2**64 - 1), "H3: index"),
        (lambda r: replace(r, path=r.path[::-1]), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, path=(bytes(32), *r.path[1:])), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, path=r.path[:-1]), "H3: path of 2 siblings: must be 3"),
        (lambda r: replace(r, path=(*r.path, bytes(32))), "H3: path of 4 siblings: must be 3"),
        (lambda r: replace(r, snapshot_digest=bytes(32)), "H1: the receipt is about another snapshot"),
    ],
)
def test_changed_receipt_is_rejected(
    receipt: Receipt, check: Callable[..., str], change: Callable[[Receipt], Receipt], refusal: str
) -> None:
    assert check(encode_receipt(receipt), ending=".cm1") == ""
    assert check(encode_receipt(change(receipt)), ending=".cm1").startswith(refusal)


def test_receipt_of_another_holder_under_my_id_is_rejected(venue: Any, check: Callable[..., str]) -> None:
    """Two holders cannot be shown one leaf: the id is inside the blinding."""
    theirs = Receipt.decode(venue.receipt("acct-b", ".cm1").read_bytes())
    assert check(encode_receipt(replace(theirs, holder="acct-a")), ending=".cm1").startswith("H4")


def test_other_bytes_are_malformed(receipt: Receipt, check: Callable[..., str]) -> None:
    honest = encode_receipt(receipt)
    for data in (b"", honest[:-1], honest + b"\x00", honest[:40], b"CM1S" + honest[4:], b"\x00" * 1000):
        assert check(data, ending=".cm1").startswith("receipt: ")
    too_long = b"\x00" * (MAX_RECEIPT_BYTES + 1)
    assert check(too_long, ending=".cm1") == f"receipt.cm1: more than {MAX_RECEIPT_BYTES} bytes"


# The readable twin.


def test_whole_twin_is_compared(twin: dict[str, Any], check: Callable[..., str]) -> None:
    """Every field of the twin but the receipt itself, changed in what a person reads."""
    assert check(encode(twin)) == ""

    def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if isinstance(value, dict) and value:
            return [found for key in value for found in leaves(value[key], (*path, key))]
        if isinstance(value, list) and value:
            return [found for number, item in enumerate(value) for found in leaves(item, (*path, number))]
        return [path]

    paths = leaves(twin)
    assert {path[0] for path in paths} == set(twin)
    for path in paths:
        changed = json.loads(encode(twin))
        at = changed
        for key in path[:-1]:
            at = at[key]
        old = at[path[-1]]
        at[path[-1]] = {**old, "BTC": "1 BTC"} if isinstance(old, dict) else f"{old}0" if isinstance(old, str) else -1
        refusal = check(encode(changed))
        if path[0] == "margin" and path[2:] == ("policy",):
            assert refusal == "", "a margin under another policy, as of an earlier bundle, is named and not compared"
        else:
            assert refusal, path
            assert path[0] in refusal or path[0] in ("receipt", "format"), refusal


def test_margin_under_an_unknown_policy_is_named(venue: Any, twin: dict[str, Any], tmp_path: Path) -> None:
    other = secrets.token_hex(32)
    twin["margin"].append({**twin["margin"][0], "policy": other, "title": "of an earlier bundle"})
    path = tmp_path / "receipt.json"
    path.write_bytes(encode(twin))
    result = verify(path, venue.bundle, "acct-a")
    assert result.exit_code == 0
    assert f"not checked: a margin in the file under policy {other}" in result.stdout
    assert "of an earlier bundle" not in result.stdout
    assert json.loads(verify(path, venue.bundle, "acct-a", "--json").stdout)["unchecked policies"] == [other]


def test_receipt_of_one_statement_serves_a_bundle_of_another(venue: Any, coverage_bundle: Path) -> None:
    """Receipts belong to the snapshot: they hold for a bundle with fewer statements, whose margins alone are shown."""
    result = verify(venue.receipt("acct-a"), coverage_bundle, "acct-a")
    assert result.exit_code == 0, result.stderr
    assert "per-asset coverage" in result.stdout
    assert "\nmaintenance margin" not in result.stdout
    assert result.stdout.count("not checked: a margin in the file under policy") == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("leaf", float), ("leaf", str), ("path", None), ("additional", None), ("additional", 1), ("record", {})],
)
def test_twin_of_other_types_or_fields_is_rejected(
    twin: dict[str, Any], check: Callable[..., str], field: str, value: Any
) -> None:
    if isinstance(value, type):
        value = value(twin[field])
    assert check(encode({**twin, field: value})).startswith("H2: the readable receipt differs")


@pytest.mark.parametrize("field", ["notice", "account", "snapshot", "compare", "record", "leaf", "path", "key"])
def test_field_missing_in_the_twin_is_rejected(twin: dict[str, Any], check: Callable[..., str], field: str) -> None:
    del twin[field]
    assert check(encode(twin)) == f"H2: the readable receipt differs from the signed one in: {field}"


def test_signature_of_something_else_is_rejected(venue: Any, twin: dict[str, Any], check: Callable[..., str]) -> None:
    signature = bytes.fromhex(twin["signature"])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")

    def signed(r: int, s: int) -> str:
        return check(encode({**twin, "signature": (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex()}))

    assert s <= ORDER // 2
    assert signed(r, ORDER - s) == "signature: s in the upper half"
    assert signed(r, s ^ 1).startswith("signature: not the signature of this key")
    assert signed(r ^ 1, s).startswith("signature: not the signature of this key")
    assert signed(0, s) == "signature: r or s is zero"
    assert signed(r, 0) == "signature: r or s is zero"
    assert "order" in signed(ORDER, s) or "range" in signed(ORDER, s)
    theirs = json.loads(venue.receipt("acct-b").read_bytes())["signature"]
    assert check(encode({**twin, "signature": theirs})).startswith("signature: not the signature of this key")
    for text in ("", twin["signature"][:-2], twin["signature"] + "00"):
        assert check(encode({**twin, "signature": text})).startswith("signature of ")


def test_signature_of_another_receipt_in_a_changed_twin_is_rejected(
    receipt: Receipt, twin: dict[str, Any], check: Callable[..., str]
) -> None:
    """A twin around a forged receipt: everything in it fits the record but the commitment."""
    forged = replace(receipt, record=(*receipt.record[:-1], receipt.record[-1] + 1))
    assert check(encode({**twin, "receipt": encode_receipt(forged).hex()})).startswith("H4")
    assert check(encode({**twin, "receipt": twin["receipt"].upper()})).startswith("H2: the readable receipt differs")


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"receipt",
    "not UTF-8": b'{"format":"\xff"}',
    "UTF-16": '{"format":"crossmargin-receipt/1"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a string": b'"crossmargin-receipt/1"',
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"format":' * 50_000 + b"1" + b"}" * 50_000,
    "unclosed": b"[" * 1_000_000,
    "huge integer": b'{"format":' + b"9" * 100_000 + b"}",
    "huge exponent": b'{"format":1e999999999}',
    "NaN": b'{"format":NaN}',
    "duplicate key": b'{"format":"crossmargin-receipt/1","format":"crossmargin-receipt/1"}',
    "other format": b'{"format":"crossmargin-receipt/2"}',
    "no receipt": b'{"format":"crossmargin-receipt/1"}',
    "receipt is a number": b'{"format":"crossmargin-receipt/1","receipt":1,"signature":"00"}',
    "receipt is no hexadecimal": b'{"format":"crossmargin-receipt/1","receipt":"zz","signature":"00"}',
    "receipt is empty": b'{"format":"crossmargin-receipt/1","receipt":"","signature":""}',
    "lone surrogate": b'{"format":"crossmargin-receipt/1","receipt":"\\ud800","signature":""}',
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_twin_is_malformed(check: Callable[..., str], data: bytes) -> None:
    assert check(data).startswith("receipt: ")


@pytest.mark.parametrize("margin", [None, "x", [1], [{}], [{"policy": 1}], [[]], {"policy": "x"}, [{"policy": []}]])
def test_hostile_margin_is_malformed(twin: dict[str, Any], check: Callable[..., str], margin: Any) -> None:
    assert check(encode({**twin, "margin": margin})).startswith("receipt: margin")


def test_duplicate_key_inside_the_twin_is_malformed(twin: dict[str, Any], check: Callable[..., str]) -> None:
    data = encode(twin).replace(b'"leaf":', b'"leaf": 7, "leaf":')
    assert check(data).startswith("receipt: not a readable receipt")
    data = encode(twin).replace(b'{"column":', b'{"column": "balance", "column":', 1)
    assert check(data).startswith("receipt: not a readable receipt")


def test_missing_files_cannot_be_checked(venue: Any, tmp_path: Path) -> None:
    missing = verify(tmp_path / "receipt.json", venue.bundle, "acct-a")
    assert missing.exit_code == 2
    assert re.match(r"COULD NOT CHECK: .*receipt\.json: No such file", missing.stderr)
    folder = verify(tmp_path, venue.bundle, "acct-a")
    assert folder.exit_code == 2
    nothing = verify(venue.receipt("acct-a"), tmp_path / "bundle", "acct-a")
    assert nothing.exit_code == 2
    for file in ("bundle.json", "maintenance/snapshot.cm1", "maintenance/columns.cm1", "coverage/policy.json"):
        bundle = Path(shutil.copytree(venue.bundle, tmp_path / file.replace("/", "-")))
        (bundle / file).unlink()
        assert verify(venue.receipt("acct-a"), bundle, "acct-a").exit_code == 2


def test_receipts_outlive_a_new_statement(venue: Any, small: Inputs, tmp_path: Path) -> None:
    """After a price move the venue proves again; the old receipt file holds for the new bundle as it is."""
    vault = Path(shutil.copytree(venue.vault, tmp_path / "vault"))
    out = tmp_path / "bundle"
    publish(small, vault, out, ["coverage"])
    assert verify(venue.receipt("acct-e", ".cm1"), out, "acct-e").exit_code == 0
