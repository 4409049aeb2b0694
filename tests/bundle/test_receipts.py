"""Receipts of every holder of the small book: the four outcomes of a check, and what a changed file is (H1 - H4)."""

import json
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
from crossmargin_circuits.policy import Policy
from crossmargin_prover.cli import main as prover
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import encode_receipt
from crossmargin_prover.workflow.publish import publish
from crossmargin_verifier.bundle.check_receipt import check_receipt
from crossmargin_verifier.bundle.limits import MAX_RECEIPT_BYTES
from crossmargin_verifier.bundle.receipt_file import ReceiptFile
from crossmargin_verifier.cli import main
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.inclusion import Receipt

SMALL = Path(__file__).parents[2] / "examples" / "small"
ACCOUNTS = ("acct-a", "acct-b", "acct-c", "acct-d", "acct-e")
WORDS = {0: "VERIFIED", 1: "DOES NOT FIT", 2: ("NOT A RECEIPT", "ANOTHER SNAPSHOT", "COULD NOT CHECK")}


def verify(path: Path, holder: str, *options: object) -> Result:
    """Run `crossmargin-verify receipt`; whatever happens is a message and an exit code."""
    result = CliRunner().invoke(main, ["receipt", str(path), "--id", holder, *map(str, options)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def check(venue: Any, tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a file, checks it and returns the word and reason of the refusal ("" if none)."""

    def run(data: bytes, *options: object, holder: str = "acct-a", bundle: bool = True) -> str:
        path = tmp_path / "receipt.txt"
        path.write_bytes(data)
        if bundle:
            options = ("--bundle", venue.bundle, *options)
        result = verify(path, holder, *options)
        if result.exit_code == 0:
            assert result.stdout.startswith("VERIFIED: ") or '"outcome": "verified"' in result.stdout
            return ""
        assert result.stdout == ""
        refusal = " ".join(result.stderr.split())
        assert refusal.startswith(WORDS[result.exit_code]), refusal
        return refusal

    return run


@pytest.fixture
def receipt(venue: Any) -> Receipt:
    return Receipt.decode(venue.receipt("acct-a", ".cm2").read_bytes())


@pytest.fixture
def file(venue: Any) -> ReceiptFile:
    return ReceiptFile.decode(venue.receipt("acct-a").read_bytes())


@pytest.fixture
def view(venue: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(venue.receipt("acct-a").read_bytes())
    return loaded


def encode(view: Any) -> bytes:
    """Return JSON as the prover writes it."""
    return (json.dumps(view, indent=2) + "\n").encode("ascii")


def key_of(bundle: Path) -> str:
    key: str = json.loads((bundle / "bundle.json").read_bytes())["receipt_key"]
    return key


def snapshot_of(bundle: Path) -> str:
    digest: str = json.loads((bundle / "bundle.json").read_bytes())["snapshot"]
    return digest


def other_digest(digest: str) -> str:
    return digest[:-1] + ("0" if digest[-1] != "0" else "1")


# Verified.


@pytest.mark.parametrize("account", ACCOUNTS)
def test_file_and_published_digest_are_enough(venue: Any, account: str) -> None:
    digest, key = snapshot_of(venue.bundle), key_of(venue.bundle)
    alone = verify(venue.receipt(account), account)
    assert alone.exit_code == 0, alone.stderr
    assert "NOT COMPARED with a publication" in alone.stdout
    assert "holds; its key was NOT COMPARED" in alone.stdout
    compared = verify(venue.receipt(account), account, "--snapshot", digest, "--key", key)
    assert compared.exit_code == 0, compared.stderr
    assert f"  id         {account}\n" in compared.stdout
    assert f"  digest     {digest}\n             equal to the digest that you gave\n" in compared.stdout
    assert "holds, by the key that you gave" in compared.stdout
    assert "name the bundle (--bundle)" in compared.stdout
    assert compared.stdout.endswith("This file shows your positions: keep it private.\n")
    assert max(map(len, compared.stdout.splitlines())) <= 80


def test_bare_receipt_needs_a_bundle_or_two_files(venue: Any) -> None:
    bare = venue.receipt("acct-b", ".cm2")
    for options in (("--bundle", venue.bundle), ("--files", venue.bundle / "snapshot")):
        result = verify(bare, "acct-b", *options)
        assert result.exit_code == 0, result.stderr
        assert "signature  none: as a complaint this file alone proves nothing" in result.stdout
    alone = verify(bare, "acct-b")
    assert alone.exit_code == 2
    assert "COULD NOT CHECK: a bare receipt needs its snapshot" in alone.stderr
    both = verify(bare, "acct-b", "--bundle", venue.bundle, "--files", venue.bundle / "snapshot")
    assert both.exit_code == 2
    assert "leave --files out" in both.stderr
    with_key = verify(bare, "acct-b", "--bundle", venue.bundle, "--key", key_of(venue.bundle))
    assert with_key.exit_code == 2
    assert "no signature to check with a key" in with_key.stderr


def test_content_decides_not_the_name(venue: Any, tmp_path: Path) -> None:
    for number, ending in enumerate((".json", ".cm2")):
        for name in ("receipt.cm2", "receipt.json", "receipt", "receipt (1).txt"):
            path = tmp_path / str(number) / name
            path.parent.mkdir(exist_ok=True)
            shutil.copy(venue.receipt("acct-a", ending), path)
            assert verify(path, "acct-a", "--bundle", venue.bundle).exit_code == 0


def test_every_account_has_one_receipt_and_leaves_differ(venue: Any, small: Inputs) -> None:
    index = json.loads((venue.receipts / "index.json").read_text(encoding="utf-8"))["receipts"]
    assert sorted(index) == sorted(small.book.holder_ids) == list(ACCOUNTS)
    files = {path.name for path in venue.receipts.iterdir()}
    assert files == {"index.json", *(f"{name}{ending}" for name in index.values() for ending in (".cm2", ".json"))}
    leaves = [Receipt.decode(venue.receipt(account, ".cm2").read_bytes()).index for account in ACCOUNTS]
    assert sorted(leaves) == list(range(len(ACCOUNTS)))
    assert all(account not in name for account in ACCOUNTS for name in files)


def test_receipts_can_be_written_again_for_one_account(venue: Any, tmp_path: Path) -> None:
    out = tmp_path / "receipts"
    arguments = ["receipts", "--vault", str(venue.vault), "--out", str(out), "--account", "acct-c"]
    for _ in range(2):
        result = CliRunner().invoke(prover, arguments)
        assert result.exit_code == 0, result.output
    assert sorted(path.suffix for path in out.iterdir()) == [".cm2", ".json", ".json"]
    again = out / venue.receipt("acct-c").name
    assert again.read_bytes() == venue.receipt("acct-c").read_bytes()


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b"{"])
def test_damaged_index_is_refused(venue: Any, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "index.json").write_bytes(data)
    result = CliRunner().invoke(prover, ["receipts", "--vault", str(venue.vault), "--out", str(tmp_path)])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert "not an index of receipts" in result.stderr


def test_margin_under_a_bundle_is_the_engines(venue: Any, small: Inputs) -> None:
    def usd(text: str) -> int:
        amount, _, currency = text.partition(" ")
        assert currency == "USD"
        quanta = Fraction(amount.replace(",", "")) * 10**8
        assert quanta.denominator == 1
        return int(quanta)

    checked = {
        account: check_receipt(venue.receipt(account), account, bundle=venue.bundle).margins for account in ACCOUNTS
    }
    for statement in ("maintenance", "initial"):
        policy = build_policy(small.venue.venue, small.environment, small.model, statement)
        margin = evaluate(compile_policy(policy), small.book.records)
        for number, account in enumerate(small.book.accounts):
            mine = next(each for each in checked[account] if each.statement == statement)
            assert (mine.kind, mine.policy_digest) == ("solvency", policy.digest)
            assert usd(mine.margin["equity"]) == margin.equity[number]
            assert usd(mine.margin["requirement"]) == margin.requirement[number]
            assert usd(mine.margin["excess"]) == margin.excess[number]
            assert usd(mine.margin["shortfall"]) == margin.shortfall[number]
            assert (mine.worst_scenario or "none") == margin.worst_of(number)
    debts = {
        account: next(each.debts for each in checked[account] if each.statement == "coverage") for account in ACCOUNTS
    }
    assert debts.pop("acct-c") == {"USDC": "5,000 USDC"}
    assert not any(debts.values())


def test_record_is_the_books(venue: Any, small: Inputs) -> None:
    for account in small.book.accounts:
        view = json.loads(venue.receipt(account).read_bytes())
        shown = {line["column"]: int(line["units"]) for line in view["record"]}
        labels = small.catalogue.layout().labels
        assert shown == {label: units for label, units in zip(labels, small.book.record(account), strict=True) if units}
        assert view["account"] == account
        assert view["notice"].startswith("PRIVATE.")
        assert "margin" not in view, "a receipt belongs to a snapshot, not to a statement"


def test_json_result_is_json_alone(venue: Any) -> None:
    result = verify(venue.receipt("acct-a"), "acct-a", "--bundle", venue.bundle, "--json")
    data = json.loads(result.stdout)
    assert (data["outcome"], data["signed"], data["snapshot_compared"]) == ("verified", True, False)
    view = json.loads(venue.receipt("acct-a").read_bytes())
    assert all(data[name] == view[name] for name in ("account", "holder_part", "leaf", "snapshot", "record"))
    assert {each["statement"] for each in data["margins"]} == {"maintenance", "initial", "coverage"}
    for holder, digest, outcome, code in (
        ("acct-b", snapshot_of(venue.bundle), "does not fit", 1),
        ("acct-a", "00" * 32, "another snapshot", 2),
        ("Acct-a", snapshot_of(venue.bundle), "not a receipt", 2),
    ):
        refused = verify(venue.receipt("acct-a"), holder, "--snapshot", digest, "--json")
        assert refused.exit_code == code
        assert json.loads(refused.stdout)["outcome"] == outcome


def test_receipt_holds_for_any_bundle_of_its_snapshot(venue: Any, coverage_bundle: Path) -> None:
    result = verify(venue.receipt("acct-a"), "acct-a", "--bundle", coverage_bundle)
    assert result.exit_code == 0, result.stderr
    assert "Statement coverage: coverage" in result.stdout
    assert "Statement maintenance" not in result.stdout


def test_receipts_outlive_a_new_statement(venue: Any, small: Inputs, tmp_path: Path) -> None:
    """The old receipt holds for a later bundle as it is."""
    vault = Path(shutil.copytree(venue.vault, tmp_path / "vault"))
    out = tmp_path / "bundle"
    publish(small, vault, out, ["coverage"], despite_claims=True)
    assert verify(venue.receipt("acct-e"), "acct-e", "--bundle", out).exit_code == 0


def test_part_that_the_holder_chose_is_shown(venue: Any, tmp_path: Path) -> None:
    """Whoever has the same id can be shown the same leaf, so the claim states its condition."""
    plain = verify(venue.receipt("acct-a"), "acct-a").stdout
    assert "The id has no part that you chose: whoever has the same id can be shown" in " ".join(plain.split())
    book = Path(shutil.copytree(SMALL, tmp_path / "book"))
    lines = (book / "accounts.csv").read_text(encoding="utf-8").split()
    parts = ["holder_part", *("blue-heron" if line.startswith("acct-a,") else "" for line in lines[1:])]
    lines = [f"{line},{part}" for line, part in zip(lines, parts, strict=True)]
    (book / "accounts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    vault, out = tmp_path / "vault", tmp_path / "receipts"
    for arguments in (
        ("commit", "--book", book, "--vault", vault, "--processes", "1"),
        ("receipts", "--vault", vault, "--out", out, "--account", "acct-a", "--account", "acct-b"),
    ):
        result = CliRunner().invoke(prover, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
    index = json.loads((out / "index.json").read_bytes())["receipts"]
    assert set(index) == {"acct-a#blue-heron", "acct-b"}
    receipt = out / f"{index['acct-a#blue-heron']}.json"
    assert json.loads(receipt.read_bytes())["holder_part"] == "blue-heron"
    shown = verify(receipt, "acct-a#blue-heron")
    assert shown.exit_code == 0, shown.stderr
    assert 'Nobody else can be shown this leaf, if you chose "blue-heron"' in shown.stdout
    assert verify(receipt, "acct-a").exit_code == 1, "the id that the holder knows has the part"


# Another snapshot.


def test_other_published_digest_is_another_snapshot(venue: Any, check: Callable[..., str]) -> None:
    data, digest = venue.receipt("acct-a").read_bytes(), snapshot_of(venue.bundle)
    assert check(data, "--snapshot", digest) == ""
    other = other_digest(digest)
    refusal = check(data, "--snapshot", other)
    assert refusal.startswith("ANOTHER SNAPSHOT: the receipt is about ")
    assert digest in refusal
    assert other in refusal


def test_bundle_of_another_snapshot_is_named(venue: Any, workshop: Any, small: Inputs, tmp_path: Path) -> None:
    """The same book committed again has other nonces and another order, hence another digest."""
    policy = build_policy(small.venue.venue, small.environment, small.model, "coverage")
    again = workshop.commit(policy, [small.book.record(account) for account in small.book.accounts[:2]])
    assets = {name: str(amount) for name, amount in small.reserves.assets.items()}
    other = workshop.write(
        tmp_path / "other", again, {"coverage": workshop.prove(again, policy)}, assets, "0", policy.venue
    )
    bundle = json.loads((other / "bundle.json").read_bytes())
    bundle["receipt_key"] = key_of(venue.bundle)
    for ending in (".cm2", ".json"):
        if ending == ".json":
            (other / "bundle.json").write_bytes(dump_canonical(bundle))
        result = verify(venue.receipt("acct-a", ending), "acct-a", "--files", other / "snapshot")
        assert result.exit_code == 2
        words = " ".join(result.stderr.split())
        assert words.startswith("ANOTHER SNAPSHOT: the receipt is about ")
        assert snapshot_of(venue.bundle) in words
        assert f"{policy.venue}/book/1970 of 1970-01-01T00:00:00Z, digest {again.manifest.digest.hex()}" in words


# Not a receipt, or changed.


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "a program saved it again: it begins with the byte order mark of UTF-8"),
        (lambda data: data.replace(b"\n", b"\r\n"), "its lines end with carriage returns"),
        (lambda data: data.decode().encode("utf-16"), "it begins with the byte order mark of UTF-16"),
        (lambda data: data.decode().encode("utf-16-be"), "it is no receipt"),
        (lambda data: json.dumps(json.loads(data)).encode(), "its blanks, the order of its keys or its escapes"),
        (lambda data: json.dumps(json.loads(data), indent=2).encode(), "its blanks, the order of its keys"),
        (lambda data: encode(dict(reversed(json.loads(data).items()))), "its blanks, the order of its keys"),
        (lambda data: data.replace(b"acct-a", b"\\u0061cct-a"), "its blanks, the order of its keys or its escapes"),
        (lambda data: data[: len(data) // 2], "it is cut off after "),
        (lambda data: data[:-3], "it is cut off after "),
        (lambda data: data + b"{}", "it is no JSON: line "),
        (lambda data: data[:40] + data[45:], "it is no"),
    ],
)
def test_program_that_changed_the_file_is_named(
    venue: Any, check: Callable[..., str], change: Callable[[bytes], bytes], reason: str
) -> None:
    for bundle in (True, False):
        refusal = check(change(venue.receipt("acct-a").read_bytes()), bundle=bundle)
        assert refusal.startswith("NOT A RECEIPT: ")
        assert reason in refusal


@pytest.mark.parametrize(
    ("holder", "reason"),
    [("acct-A", "capitals"), ("ACCT-A", "capitals"), ("acct-a ", "blanks around it"), ("\tacct-a", "blanks around it")],
)
def test_slip_in_the_id_is_named(venue: Any, check: Callable[..., str], holder: str, reason: str) -> None:
    refusal = check(venue.receipt("acct-a").read_bytes(), holder=holder)
    assert refusal.startswith("NOT A RECEIPT: the id in it is 'acct-a', and you gave ")
    assert refusal.endswith(f"they differ in {reason}")


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n",
    "no JSON": b"receipt",
    "not UTF-8": b'{"format":"\xff"}',
    "half of UTF-16": b"\xff\xfe{",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a string": b'"crossmargin-receipt/2"',
    "an empty object": b"{}",
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"format":' * 50_000 + b"1" + b"}" * 50_000,
    "unclosed": b'{"a":' * 1_000_000,
    "huge integer": b'{"format":' + b"9" * 100_000 + b"}",
    "huge exponent": b'{"format":1e999999999}',
    "NaN": b'{"format":NaN}',
    "duplicate key": b'{"format":"crossmargin-receipt/2","format":"crossmargin-receipt/2"}',
    "other format": b'{"format":"crossmargin-receipt/3"}',
    "no files": b'{"format":"crossmargin-receipt/2","key":"","signature":""}',
    "files are a number": b'{"format":"crossmargin-receipt/2","files":1,"key":"","signature":""}',
    "magic alone": b"CM2H",
    "another file of the protocol": b"CM2S\x00\x02",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_anything_else_is_no_receipt(check: Callable[..., str], data: bytes) -> None:
    assert check(data).startswith("NOT A RECEIPT: ")


def test_file_of_version_1_is_named(check: Callable[..., str]) -> None:
    for data in (b'{"format": "crossmargin-receipt/1"}', b"CM1H\x00\x01" + bytes(100)):
        assert "written by crossmargin/1, which release 0.1.0 reads" in check(data)


def test_large_file_is_refused(check: Callable[..., str]) -> None:
    assert check(bytes(MAX_RECEIPT_BYTES + 1)) == (
        f"NOT A RECEIPT: receipt.txt has more than {MAX_RECEIPT_BYTES} bytes"
    )


def test_other_key_is_no_receipt_of_this_venue(
    venue: Any, check: Callable[..., str], rewrite: Any, bundle: Path
) -> None:
    data, key = venue.receipt("acct-a").read_bytes(), key_of(venue.bundle)
    assert check(data, "--key", key) == ""
    other = SigningKey.generate().public.hex()
    assert f"NOT A RECEIPT: the key in it, {key}, is not the one that you gave, {other}" in check(data, "--key", other)
    rewrite(bundle / "bundle.json", lambda value: value.update(receipt_key=other))
    refused = verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle)
    assert refused.exit_code == 2
    swapped = ReceiptFile.decode(data)
    assert "NOT A RECEIPT: it was changed since the venue signed it" in check(
        replace(swapped, key=SigningKey.generate().public).encoded, bundle=False
    )


def test_signature_of_something_else_is_no_receipt(
    venue: Any, file: ReceiptFile, receipt: Receipt, check: Callable[..., str]
) -> None:
    assert file.signature is not None
    r, s = int.from_bytes(file.signature[:32], "big"), int.from_bytes(file.signature[32:], "big")

    def signed(r: int, s: int) -> str:
        refusal = check(replace(file, signature=r.to_bytes(32, "big") + s.to_bytes(32, "big")).encoded)
        assert refusal.startswith("NOT A RECEIPT: it was changed since the venue signed it, or it never was signed: ")
        return refusal

    assert s <= ORDER // 2
    assert "s in the upper half" in signed(r, ORDER - s)
    assert "not the signature of this key" in signed(r, s ^ 1)
    assert "not the signature of this key" in signed(r ^ 1, s)
    assert "r or s is zero" in signed(0, s)
    assert "r or s is zero" in signed(r, 0)
    signed(ORDER, s)
    theirs = ReceiptFile.decode(venue.receipt("acct-b").read_bytes()).signature
    assert theirs is not None
    signed(int.from_bytes(theirs[:32], "big"), int.from_bytes(theirs[32:], "big"))
    forged = replace(receipt, record=(*receipt.record[:-1], receipt.record[-1] + 1))
    assert "not the signature of this key" in check(replace(file, receipt=encode_receipt(forged)).encoded)


def test_other_snapshot_or_columns_inside_are_no_receipt(
    venue: Any, file: ReceiptFile, view: dict[str, Any], check: Callable[..., str]
) -> None:
    assert file.snapshot is not None
    assert file.columns is not None
    later = file.snapshot[:-1] + bytes([file.snapshot[-1] ^ 1])
    assert "the snapshot inside is not the one" in check(replace(file, snapshot=later).encoded)
    columns = file.columns.replace(b"BTC", b"BTX")
    assert columns != file.columns
    assert "the columns inside are not those" in check(replace(file, columns=columns).encoded)
    for name in ("snapshot", "columns", "receipt"):
        for text in ("", "zz", view["files"][name][:-2], view["files"][name].upper()):
            files = {**view["files"], name: text}
            assert check(encode({**view, "files": files})).startswith("NOT A RECEIPT: ")


def test_whole_readable_part_is_compared(view: dict[str, Any], check: Callable[..., str]) -> None:
    """Nothing that a person reads in the file can differ from what the signed receipt says."""
    assert check(encode(view)) == ""

    def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if isinstance(value, dict) and value:
            return [found for key in value for found in leaves(value[key], (*path, key))]
        if isinstance(value, list) and value:
            return [found for number, item in enumerate(value) for found in leaves(item, (*path, number))]
        return [path]

    paths = leaves(view)
    assert {path[0] for path in paths} == set(view)
    for path in paths:
        changed = json.loads(encode(view))
        at = changed
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = f"{at[path[-1]]}0" if isinstance(at[path[-1]], str) else -1
        refusal = check(encode(changed), bundle=False)
        assert refusal.startswith("NOT A RECEIPT: "), path
        if path[0] not in ("files", "format", "key", "signature"):
            assert f"its readable part is not what the signed receipt says: {path[0]}: do not rely" in refusal


@pytest.mark.parametrize(
    ("field", "value"),
    [("leaf", float), ("leaf", str), ("additional", None), ("additional", 1), ("record", {}), ("margin", [])],
)
def test_readable_part_of_other_types_or_fields_is_refused(
    view: dict[str, Any], check: Callable[..., str], field: str, value: Any
) -> None:
    if isinstance(value, type):
        value = value(view[field])
    assert f"not what the signed receipt says: {field}" in check(encode({**view, field: value}))


@pytest.mark.parametrize("field", ["notice", "account", "holder_part", "snapshot", "record", "leaf"])
def test_field_missing_in_the_readable_part_is_refused(
    view: dict[str, Any], check: Callable[..., str], field: str
) -> None:
    del view[field]
    assert f"not what the signed receipt says: {field}" in check(encode(view))


def test_key_that_stands_twice_is_refused(view: dict[str, Any], check: Callable[..., str]) -> None:
    for data in (
        encode(view).replace(b'"leaf":', b'"leaf": 7, "leaf":'),
        encode(view).replace(b'"column":', b'"column": "balance", "column":', 1),
    ):
        assert check(data) == "NOT A RECEIPT: it is no receipt: a key stands twice"


# Does not fit.


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda r: replace(r, record=(*r.record[:-1], r.record[-1] + 1)), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, record=tuple(-x for x in r.record)), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, record=r.record[:-1]), "H1: 8 entries in the record, 9 columns"),
        (lambda r: replace(r, record=(*r.record, 0)), "H1: 10 entries in the record, 9 columns"),
        (lambda r: replace(r, record=(*r.record[:-1], 2**62)), "H2: column 'position"),
        (lambda r: replace(r, nonce=r.nonce[:-1] + bytes([r.nonce[-1] ^ 1])), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, nonce=bytes(32)), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, holder=""), "H2: the id in it is '', and you gave 'acct-a'"),
        (lambda r: replace(r, holder="acct-b"), "H2: the id in it is 'acct-b', and you gave 'acct-a'"),
        (lambda r: replace(r, index=r.index ^ 1 if r.index < 4 else 0), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, index=5), "H3: index"),
        (lambda r: replace(r, index=2**64 - 1), "H3: index"),
        (lambda r: replace(r, path=r.path[::-1]), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, path=(bytes([1] * 32), *r.path[1:])), "H4: record, id and nonce do not lead"),
        (lambda r: replace(r, path=r.path[:-1]), "H3: path of 2 siblings: must be 3"),
        (lambda r: replace(r, path=(*r.path, bytes(32))), "H3: path of 4 siblings: must be 3"),
    ],
)
def test_receipt_that_leads_nowhere_does_not_fit(
    venue: Any,
    file: ReceiptFile,
    receipt: Receipt,
    check: Callable[..., str],
    change: Callable[[Receipt], Receipt],
    refusal: str,
) -> None:
    """What a careless or lying venue signs is evidence; what nobody signed is not."""
    assert check(encode_receipt(receipt)) == ""
    wrong = encode_receipt(change(receipt))
    unsigned = check(wrong)
    assert unsigned.startswith(f"DOES NOT FIT: {refusal}")
    assert unsigned.endswith("the file has no signature: ask for NAME.json, which is evidence")
    lying = replace(file, receipt=wrong, signature=venue.key.sign_receipt(wrong))
    for bundle in (True, False):
        signed = check(lying.encoded, bundle=bundle)
        assert signed.startswith(f"DOES NOT FIT: {refusal}")
        assert signed.endswith("the venue signed it: keep the file, it is evidence")


def test_signed_bytes_that_are_no_receipt_do_not_fit(
    venue: Any, view: dict[str, Any], check: Callable[..., str]
) -> None:
    for data in (b"x", encode_receipt(Receipt.decode(bytes.fromhex(view["files"]["receipt"])))[:-1]):
        signed = {**view, "files": {**view["files"], "receipt": data.hex()}}
        signed["signature"] = venue.key.sign_receipt(data).hex()
        assert check(encode(signed)).startswith("DOES NOT FIT: H1: receipt: ")


def test_receipt_of_another_holder_under_my_id_does_not_fit(venue: Any, check: Callable[..., str]) -> None:
    """Two holders with different ids cannot be shown one leaf: the id is inside the blinding."""
    theirs = Receipt.decode(venue.receipt("acct-b", ".cm2").read_bytes())
    assert check(encode_receipt(replace(theirs, holder="acct-a"))).startswith("DOES NOT FIT: H4")
    assert check(venue.receipt("acct-b").read_bytes()).startswith(
        "DOES NOT FIT: H2: the id in it is 'acct-b', and you gave 'acct-a'"
    )


# Neither.


@pytest.mark.parametrize("options", [("--snapshot", "00"), ("--snapshot", "zz" * 32), ("--key", "00" * 32)])
def test_digest_of_the_wrong_length_is_wrong_usage(venue: Any, options: tuple[str, str]) -> None:
    result = verify(venue.receipt("acct-a"), "acct-a", *options)
    assert result.exit_code == 2
    assert "bytes in hexadecimal expected" in result.stderr


def test_missing_files_cannot_be_checked(venue: Any, tmp_path: Path) -> None:
    missing = verify(tmp_path / "receipt.json", "acct-a")
    assert missing.exit_code == 2
    assert "COULD NOT CHECK: " in missing.stderr
    assert "receipt.json: No such file" in " ".join(missing.stderr.split())
    assert verify(tmp_path, "acct-a").exit_code == 2
    assert verify(venue.receipt("acct-a"), "acct-a", "--bundle", tmp_path / "bundle").exit_code == 2
    assert verify(venue.receipt("acct-a", ".cm2"), "acct-a", "--files", tmp_path).exit_code == 2


@pytest.mark.parametrize(
    ("place", "reason"),
    [(6, "another snapshot"), (38, "another policy"), (70, "another policy")],
    ids=["snapshot digest", "relation digest", "policy digest"],
)
def test_no_margin_is_shown_under_a_statement_about_something_else(
    venue: Any, bundle: Path, anchor: Any, place: int, reason: str
) -> None:
    """A venue anchors a policy that its statement does not name: the margin under it would be nobody's."""
    file = bundle / "statements" / "coverage" / "statement.cm2"
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    anchor(bundle)
    result = verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())


def test_no_margin_is_shown_under_a_policy_about_other_columns(venue: Any, bundle: Path, anchor: Any) -> None:
    """The same record under other labels: a unit ten times as large makes every amount ten times as large."""
    folder = bundle / "statements" / "coverage"
    root = json.loads((folder / "policy.json").read_bytes())
    for column in root["columns"]:
        if column["name"] == "USDC":
            column["unit"] = "0.00001 USDC"
    policy = Policy.decode(dump_canonical(root))
    (folder / "policy.json").write_bytes(policy.encoded)
    statement = (folder / "statement.cm2").read_bytes()
    digests = compile_policy(policy).relation.digest + policy.digest
    (folder / "statement.cm2").write_bytes(statement[:38] + digests + statement[102:])
    anchor(bundle)
    result = verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle)
    assert result.exit_code == 2
    assert "other columns" in " ".join(result.stderr.split())


def test_bundle_that_names_another_snapshot_than_its_files_shows_nothing(
    venue: Any, bundle: Path, rewrite: Any
) -> None:
    def rename(root: Any) -> None:
        root["snapshot"] = "00" * 32

    def rename_anchored(root: Any) -> None:
        root["snapshot"]["digest"] = "00" * 32

    rewrite(bundle / "bundle.json", rename)
    rewrite(bundle / "anchor.json", rename_anchored)
    (bundle / "anchor.sig").write_bytes(venue.key.sign_anchor((bundle / "anchor.json").read_bytes()))
    result = verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle)
    assert result.exit_code == 2
    assert "not the snapshot that bundle.json names" in " ".join(result.stderr.split())


def test_broken_bundle_is_no_finding_about_the_receipt(venue: Any, bundle: Path, anchor: Any) -> None:
    for path, data in (
        ("snapshot/snapshot.cm2", b"CM2S"),
        ("statements/coverage/policy.json", b"{}"),
        ("statements/coverage/statement.cm2", b"CM2M"),
        ("bundle.json", b"{}"),
    ):
        before = (bundle / path).read_bytes()
        (bundle / path).write_bytes(data)
        anchor(bundle)
        result = verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle)
        assert result.exit_code == 2, path
        assert "COULD NOT CHECK: the bundle: " in " ".join(result.stderr.split())
        (bundle / path).write_bytes(before)
        anchor(bundle)
    assert verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle).exit_code == 0
    (bundle / "anchor.sig").write_bytes(bytes(64))
    unsigned = verify(venue.receipt("acct-a"), "acct-a", "--bundle", bundle)
    assert unsigned.exit_code == 2
    assert "COULD NOT CHECK: the bundle: " in " ".join(unsigned.stderr.split())
