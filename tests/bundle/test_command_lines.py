"""Both command lines as a person or a program meets them: exit codes, streams, help, hostile text, no tracebacks."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import Inputs
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.cli import main as prover
from crossmargin_prover.receipts import make_receipts
from crossmargin_verifier.bundle import check
from crossmargin_verifier.bundle.anchor import Anchor
from crossmargin_verifier.cli import main as verifier
from crossmargin_verifier.protocol.errors import RejectedError

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = EXAMPLES / "small"
BROKEN = yaml.safe_load((EXAMPLES / "broken" / "expected.yaml").read_text(encoding="utf-8"))

ESCAPE = "\x1b]0;owned\x07\x1b[31m"
CONTROLS = f"{ESCAPE}\x08\r\x9b1m\u202e\u2028\x00"


def run(command: click.Command, *arguments: str | Path) -> Result:
    """Run a command in this process; nothing but SystemExit may come out."""
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def start(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run an installed program in a process of its own, as in a script: no terminal, no colours."""
    done = subprocess.run(
        [Path(sys.executable).parent / program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "NO_COLOR": "1"},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def assert_clean(text: str) -> None:
    """No control, no direction mark, no line separator reaches the terminal."""
    assert all(character.isprintable() or character == "\n" for character in text), ascii(text)


# Exit codes and streams.


def test_programs_exit_with_0_1_and_2(venue: Any, tmp_path: Path) -> None:
    """As installed, in processes of their own, in a locale that is not UTF-8."""
    digest = json.loads((venue.bundle / "bundle.json").read_bytes())["snapshot"]
    verified = start("crossmargin-verify", "bundle", venue.bundle, "--snapshot", digest)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.endswith("\nVERIFIED\n")
    receipt = start(
        "crossmargin-verify", "receipt", venue.receipt("acct-b"), "--bundle", venue.bundle, "--id", "acct-b"
    )
    assert (receipt.returncode, receipt.stderr) == (0, "")

    rejected = start("crossmargin-verify", "bundle", venue.bundle, "--snapshot", "00" * 32)
    assert (rejected.returncode, rejected.stdout) == (1, "")
    assert rejected.stderr.startswith("REJECTED: V10: snapshot: expected 0000")

    missing = start("crossmargin-verify", "bundle", tmp_path / "nothing")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("COULD NOT CHECK: ")
    assert start("crossmargin-verify", "bundle").returncode == 2

    assert start("crossmargin", "margin", "show", "--book", SMALL).returncode == 0
    assert start("crossmargin", "margin", "show", "--book", EXAMPLES / "broken" / "zero-price").returncode == 1


@pytest.mark.usefixtures("proofs_once")
def test_json_is_alone_on_stdout(venue: Any, bundle: Path) -> None:
    good = run(verifier, "bundle", venue.bundle, "--json")
    assert (good.exit_code, good.stderr) == (0, "")
    found, published = (json.loads(text) for text in (good.stdout, (venue.bundle / "summary.json").read_bytes()))
    assert found["outcome"] == published["outcome"] == "verified"
    assert found["claims"] == published["claims"]
    slack = bundle / "statements" / "initial" / "slack.cm2"
    slack.write_bytes(b"")
    bad = run(verifier, "bundle", bundle, "--json")
    assert (bad.exit_code, bad.stderr) == (1, "")
    assert json.loads(bad.stdout)["outcome"] == "rejected"
    assert "slack.cm2" in json.loads(bad.stdout)["reason"]
    slack.unlink()
    lacking = run(verifier, "bundle", bundle, "--json")
    assert (lacking.exit_code, lacking.stderr) == (1, "")
    assert "slack.cm2" in json.loads(lacking.stdout)["reason"]
    none = run(verifier, "bundle", bundle / "nothing", "--json")
    assert (none.exit_code, none.stderr) == (2, "")
    assert json.loads(none.stdout)["outcome"] == "could not check"


def digests_of(bundle: Path) -> dict[str, bytes]:
    """The digests that a venue publishes elsewhere, by the names of the verdict."""
    anchor = Anchor.decode((bundle / "anchor.json").read_bytes())
    key = bytes.fromhex(json.loads((bundle / "bundle.json").read_bytes())["receipt_key"])
    found = {"bundle": anchor.digest, "snapshot": anchor.snapshot_digest, "receipt key": key}
    for each in anchor.statements:
        found |= {f"{each.name} statement": each.statement_digest, f"{each.name} policy": each.policy_digest}
    return found


@pytest.mark.usefixtures("proofs_once")
def test_options_compare_every_digest(venue: Any) -> None:
    digests = {name: digest.hex() for name, digest in digests_of(venue.bundle).items()}
    options = ["--snapshot", digests["snapshot"], "--key", digests["receipt key"], "--bundle-digest", digests["bundle"]]
    for name in ("maintenance", "initial", "coverage"):
        options += ["--statement", f"{name}={digests[f'{name} statement']}"]
        options += ["--policy", f"{name}={digests[f'{name} policy']}"]
    result = run(verifier, "bundle", venue.bundle, *options)
    assert result.exit_code == 0
    assert set(json.loads(run(verifier, "bundle", venue.bundle, "--json", *options).stdout)["compared"]) == set(digests)
    for number in range(1, len(options), 2):
        wrong = [*options]
        wrong[number] = wrong[number][:-2] + ("00" if wrong[number][-2:] != "00" else "01")
        refused = run(verifier, "bundle", venue.bundle, *wrong)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("REJECTED: V10: ")


def test_wrong_digests_are_found_before_anything_is_verified(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise AssertionError("verified")

    monkeypatch.setattr(check, "verify_statements", late)
    monkeypatch.setattr(check, "compile_policy", late)
    for name in ("snapshot", "maintenance statement", "maintenance policy", "receipt key", "weekly policy"):
        with pytest.raises(RejectedError, match=rf"V10: .*{name}"):
            check.check_bundle(venue.bundle, {name: bytes(32)})
    with pytest.raises(AssertionError, match="verified"):
        check.check_bundle(venue.bundle)


@pytest.mark.parametrize(
    "options",
    [("--snapshot", "12"), ("--statement", "00" * 32), ("--policy", "initial=xyz"), ("--key", "00" * 32), ("--quick",)],
)
def test_wrong_options_are_wrong_usage(venue: Any, options: tuple[str, ...]) -> None:
    result = run(verifier, "bundle", venue.bundle, *options)
    assert (result.exit_code, result.stdout) == (2, "")


# Help.


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(group, click.Group):
        for name in group.commands:
            yield from commands(named(group, name), (*path, name))


def named(group: click.Group, name: str) -> click.Command:
    command = group.resolve_command(click.Context(group), [name])[1]
    assert command is not None
    return command


HELP = [(program, path) for program in (prover, verifier) for path in commands(program)]


@pytest.mark.parametrize(("program", "path"), HELP, ids=[f"{p.callback.__module__} {' '.join(c)}" for p, c in HELP])
def test_help_has_an_example(program: click.Group, path: tuple[str, ...]) -> None:
    result = run(program, *path, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    command: click.Command = program
    for name in path:
        assert isinstance(command, click.Group)
        command = named(command, name)
    if isinstance(command, click.Group):
        assert all(name in result.output for name in command.commands)
    else:
        examples = result.output.partition("Example")[2]
        assert f"{' '.join(path)} " in examples
        assert max(map(len, result.output.splitlines())) <= 110
    assert run(program, *path, "-h").output == result.output


@pytest.mark.parametrize("program", [prover, verifier])
def test_version_names_the_protocol(program: click.Group) -> None:
    result = run(program, "--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"crossmargin(-verify)? \d+\.\d+\.\d+, protocol crossmargin/2\n", result.output)


# Bad input.


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_book_is_refused_with_its_place(name: str) -> None:
    result = run(prover, "margin", "show", "--book", EXAMPLES / "broken" / name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("refused: ")
    expected = BROKEN[name]["refusal"]
    assert expected["file"] in result.stderr
    assert expected["reason"] in result.stderr
    if "line" in expected:
        assert f"line {expected['line']}" in result.stderr
    assert_clean(result.stderr)


def test_missing_book_and_vault_are_refused(tmp_path: Path) -> None:
    assert run(prover, "margin", "show", "--book", tmp_path / "none").exit_code == 1
    assert run(prover, "margin", "show", "--book", SMALL / "venue.yaml").exit_code == 2
    for command in ("prove", "publish"):
        options = ("--out", tmp_path / "out") if command == "publish" else ()
        result = run(prover, command, "--book", SMALL, "--vault", tmp_path / "none", *options)
        assert result.exit_code == 1
        assert "run `crossmargin commit` first" in result.stderr
    result = run(prover, "receipts", "--vault", tmp_path / "none", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_second_run_does_nothing_again(venue: Any, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in venue.vault.rglob("*") if path.is_file()}
    assert venue.vault / "snapshot" / "published.json" in before
    options = ("--vault", venue.vault, "--bundle", tmp_path / "b", "--packing", "0", "--processes", "1")
    result = run(prover, "run", "--book", SMALL, *options)
    assert result.exit_code == 0
    assert "proven, in" not in result.output
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted(
        path.name for path in venue.bundle.iterdir()
    )
    for command in (("commit", *options[:2]), ("run", *options)):
        result = run(prover, command[0], "--book", EXAMPLES / "book", *command[1:])
        assert result.exit_code == 1
        assert f"refused: {venue.vault} " in result.stderr
        assert "choose another folder" in result.stderr
    assert {path: path.read_bytes() for path in venue.vault.rglob("*") if path.is_file()} == before


def test_nothing_foreign_is_overwritten(venue: Any, tmp_path: Path) -> None:
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.txt").write_text("years of work", encoding="utf-8")
    attempts = [
        ("publish", "--book", SMALL, "--vault", venue.vault, "--out", foreign),
        ("publish", "--book", SMALL, "--vault", venue.vault, "--out", foreign / "chapter1.txt"),
        ("publish", "--book", SMALL, "--vault", venue.vault, "--out", foreign / ".." / "thesis"),
        ("receipts", "--vault", venue.vault, "--out", foreign),
        ("receipts", "--vault", venue.vault, "--out", foreign / "chapter1.txt"),
        ("commit", "--book", SMALL, "--vault", foreign),
        ("demo", "--book", SMALL, "--out", foreign),
    ]
    for attempt in attempts:
        result = run(prover, *attempt)
        assert result.exit_code == 1, attempt
        assert "refused: " in result.stderr
    assert (foreign / "chapter1.txt").read_text(encoding="utf-8") == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]
    assert [path.name for path in foreign.iterdir()] == ["chapter1.txt"]


def test_bundle_is_published_again_in_place(venue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    monkeypatch.chdir(out)
    arguments = ("publish", "--book", SMALL, "--vault", venue.vault, "--statement", "maintenance")
    arguments = (*arguments, "--despite-claims", "--out")
    assert run(prover, *arguments, ".").exit_code == 4
    (out / "left over").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "something else, left over: move it away" in run(prover, *arguments, out).stderr
    (out / "left over").unlink()
    again = run(prover, *arguments, out, "--json")
    assert again.exit_code == 4
    assert json.loads(again.stdout)["outcome"] == "verified, but claims fail or are not judged"
    assert {path.name for path in out.iterdir()} == {
        *("anchor.json", "anchor.sig", "bundle.json", "reserves.json", "summary.json", "summary.txt"),
        *("snapshot", "statements"),
    }
    assert [path.name for path in (out / "statements").iterdir()] == ["maintenance"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_unknown_statement_and_account_are_refused(venue: Any, tmp_path: Path) -> None:
    vault = ("--vault", venue.vault)
    for arguments, words in (
        (("prove", "--book", SMALL, *vault, "--statement", "stress"), "use maintenance, initial, coverage"),
        (
            ("publish", "--book", SMALL, *vault, "--out", tmp_path / "b", "--statement", "stress"),
            "not proven yet: stress",
        ),
        (("receipts", *vault, "--out", tmp_path / "r", "--account", "nobody"), "no account 'nobody'"),
        (("margin", "show", "--book", SMALL, "--statement", "stress"), "use maintenance, initial, coverage"),
        (("margin", "explain", "--book", SMALL, "--account", "nobody"), "no account 'nobody'"),
    ):
        result = run(prover, *arguments)
        assert result.exit_code == 1, arguments
        assert words in result.stderr
    assert run(prover, "margin", "show", "--book", SMALL, "--statement", "coverage").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_instruments_of_another_snapshot_are_refused(venue: Any) -> None:
    result = run(prover, "prove", "--book", EXAMPLES / "book", "--vault", venue.vault)
    assert result.exit_code == 1
    assert "other columns than the committed snapshot" in result.stderr


def test_record_beyond_a_lowered_limit_is_refused_by_account(venue: Any, tmp_path: Path) -> None:
    """Limits are no part of a column's label: they may be lowered after the snapshot, below what somebody holds."""
    book = Path(shutil.copytree(SMALL, tmp_path / "book"))
    text = (book / "instruments.yaml").read_text(encoding="utf-8")
    (book / "instruments.yaml").write_text(text.replace('limit: "100000000"', 'limit: "50000"'), encoding="utf-8")
    result = run(prover, "prove", "--book", book, "--vault", venue.vault, "--statement", "coverage")
    assert result.exit_code == 1
    assert re.search(r"refused: account acct-[ab]: (balance|entry) USDC is beyond its limit", result.stderr)


# Margin and policy.


def test_margin_of_the_book(small: Inputs) -> None:
    policy = build_policy(small.venue.venue, small.environment, small.model, "maintenance")
    margin = evaluate(compile_policy(policy), small.book.records)
    shown = run(prover, "margin", "show", "--book", SMALL)
    assert shown.exit_code == 0
    assert "accounts under water  1" in re.sub(r" {3,}", "  ", shown.stdout)
    assert all(account in shown.stdout for account in small.book.accounts)
    data = json.loads(run(prover, "margin", "show", "--book", SMALL, "--json").stdout)
    assert data["policy"] == policy.digest.hex()
    assert [each["account"] for each in data["accounts"]] == list(small.book.accounts)
    for name in ("equity", "requirement", "excess", "shortfall"):
        assert [int(each[name]) for each in data["accounts"]] == getattr(margin, name).tolist()


def test_margin_of_one_account(small: Inputs) -> None:
    shown = run(prover, "margin", "explain", "--book", SMALL, "--account", "acct-a")
    assert shown.exit_code == 0
    for word in ("account acct-a", "haircuts", "requirement", "sub-accounts alone", "hedge", "pooling saves"):
        assert word in shown.stdout
    data = json.loads(run(prover, "margin", "explain", "--book", SMALL, "--account", "acct-a", "--json").stdout)
    assert int(data["excess"]) == int(data["equity"]) - int(data["requirement"])
    assert [each["name"] for each in data["sub_accounts"]] == ["", "hedge"]
    saved = sum(int(each["requirement"]) for each in data["sub_accounts"]) - int(data["requirement"])
    assert int(data["pooling saves"]) == saved
    assert saved > 0
    water = json.loads(run(prover, "margin", "explain", "--book", SMALL, "--account", "acct-d", "--json").stdout)
    assert int(water["excess"]) == -206254444485


@pytest.mark.parametrize("statement", ["maintenance", "initial", "coverage"])
def test_policy_is_shown_and_computed_again(venue: Any, statement: str) -> None:
    file = venue.bundle / "statements" / statement / POLICY_FILE
    policy = Policy.decode(file.read_bytes())
    shown = run(prover, "policy", "show", file, "--arrays", "--rows")
    assert shown.exit_code == 0
    flat = re.sub(r"\s+", "", shown.stdout)
    for each in (*policy.definitions, *policy.constraints):
        assert re.sub(r"\s+", "", str(each)) in flat
    assert policy.digest.hex() in shown.stdout
    data = json.loads(run(prover, "policy", "show", file, "--json").stdout)
    assert data["policy"] == policy.digest.hex()
    assert data["relation"] == compile_policy(policy).relation.digest.hex()
    count = len(policy.arrays) * len(policy.layout)
    for options in ((), ("--book", SMALL)):
        checked = run(prover, "policy", "check", file, *options)
        assert (checked.exit_code, checked.stderr) == (0, "")
        assert checked.stdout.startswith(f"equal: {count} coefficients in {len(policy.arrays)} risk arrays")


def test_policy_check_with_another_market_lists_the_differences(venue: Any, tmp_path: Path) -> None:
    book = Path(shutil.copytree(SMALL, tmp_path / "book"))
    text = (book / "market.yaml").read_text(encoding="utf-8")
    assert text.count('"132.48"') == 1
    (book / "market.yaml").write_text(text.replace('"132.48"', '"132.49"'), encoding="utf-8")
    file = venue.bundle / "statements" / "initial" / POLICY_FILE
    result = run(prover, "policy", "check", file, "--book", book)
    assert result.exit_code == 1
    assert "value SOL, balance SOL: 13248 in the policy, 13249 computed" in result.stdout
    count = int(re.findall(r"(\d+) differences", result.stdout)[0])
    data = json.loads(run(prover, "policy", "check", file, "--book", book, "--json").stdout)
    assert data["equal"] is False
    assert len(data["differences"]) == count
    assert all("SOL" in line for line in data["differences"])
    tolerant = run(prover, "policy", "check", file, "--book", book, "--tolerance", "10")
    assert tolerant.exit_code == 0


def test_policy_whose_arrays_do_not_follow_from_its_prices_is_found_out(venue: Any, tmp_path: Path) -> None:
    policy = json.loads((venue.bundle / "statements" / "initial" / POLICY_FILE).read_bytes())
    policy["arrays"][0]["coefficients"][0] += 1
    file = tmp_path / POLICY_FILE
    file.write_bytes(dump_canonical(policy))
    result = run(prover, "policy", "check", file)
    assert result.exit_code == 1
    assert "1 differences" in result.stdout
    assert re.search(r"balance USDC: \d+ in the policy, \d+ computed", result.stdout)


# Text of strangers.


HOSTILE_TEXTS = [CONTROLS, "[/nonsense]", "\\[/nonsense]", "[bold]", "a\nVERIFIED", "\\", "[link=x]y[/link]"]


def hostile(policy: Policy, text: str) -> Policy:
    """Put a text wherever a policy takes any text."""
    return replace(
        policy,
        title=f"title {text}",
        arrays=tuple(replace(each, meaning=f"meaning {text}") for each in policy.arrays),
        definitions=tuple(replace(each, meaning=f"meaning {text}") for each in policy.definitions),
        inputs={**policy.inputs, "rounding": text},
    )


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=ascii)
@pytest.mark.parametrize("statement", ["maintenance", "coverage"])
def test_policy_of_strangers_is_shown_without_controls(venue: Any, tmp_path: Path, statement: str, text: str) -> None:
    policy = hostile(Policy.decode((venue.bundle / "statements" / statement / POLICY_FILE).read_bytes()), text)
    file = tmp_path / POLICY_FILE
    file.write_bytes(policy.encoded)
    for arguments in (
        ("policy", "show", file, "--rows", "--arrays"),
        ("policy", "show", file, "--json"),
        ("policy", "check", file),
        ("policy", "check", file, "--json"),
    ):
        result = run(prover, *arguments)
        assert_clean(result.stdout)
        assert_clean(result.stderr)
        if text == "[/nonsense]" and "--json" not in arguments and "show" in arguments:
            assert "[/nonsense]" in result.stdout


@pytest.fixture(scope="module")
def hostile_bundle(workshop: Any, small: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that verifies, with controls in every text that the formats let through."""
    plain = build_policy(small.venue.venue, small.environment, small.model, "coverage")
    policy = hostile(plain, CONTROLS)
    snapshot = workshop.commit(policy, [small.book.record("acct-a")])
    statements = {"coverage": workshop.prove(snapshot, policy)}
    assets = {"USDC": "1", CONTROLS.encode("ascii", "ignore").decode(): "1"}
    folder = tmp_path_factory.mktemp("hostile") / "bundle"
    (made,) = make_receipts(snapshot, None, workshop.key, bytes(32))
    (folder.parent / "receipt.json").write_bytes(made.content.encoded)
    written: Path = workshop.write(folder, snapshot, statements, assets, "1", plain.venue)
    return written


def test_verdict_on_strangers_texts_has_no_controls(hostile_bundle: Path) -> None:
    for options in ((), ("--json",)):
        result = run(verifier, "bundle", hostile_bundle, *options)
        assert "coverage" in result.stdout
        assert_clean(result.stdout)
        assert_clean(result.stderr)
    assert "\nVERIFIED\n" not in run(verifier, "bundle", hostile_bundle).stdout


COVERAGE = f"statements/coverage/{POLICY_FILE}"


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("bundle.json", lambda root: root.update(venue=CONTROLS)),
        ("bundle.json", lambda root: root.update({ESCAPE: 1})),
        ("bundle.json", lambda root: root["statements"].append(CONTROLS)),
        ("reserves.json", lambda root: root["assets"].update({ESCAPE: "x"})),
        ("reserves.json", lambda root: root.update(source=CONTROLS)),
        ("reserves.json", lambda root: root["insurance_fund"].update(currency=CONTROLS)),
        (COVERAGE, lambda root: root.update({ESCAPE: 1})),
        (COVERAGE, lambda root: root.update(format=CONTROLS)),
        (COVERAGE, lambda root: root["arrays"][0].update(name=CONTROLS)),
        (COVERAGE, lambda root: root["definitions"][0].update(name=CONTROLS)),
        (COVERAGE, lambda root: root["definitions"][0]["expression"].update(op=CONTROLS)),
        (
            "statements/coverage/policy.json",
            lambda root: root["definitions"][0]["expression"]["of"].update(array=CONTROLS),
        ),
        (COVERAGE, lambda root: root["columns"][1].update(name=CONTROLS)),
        (COVERAGE, lambda root: root["columns"][1].update(unit=CONTROLS)),
        (COVERAGE, lambda root: root["columns"][0].update(kind=CONTROLS)),
        (COVERAGE, lambda root: root["value_unit"].update(quantum=CONTROLS)),
    ],
)
def test_refusal_of_strangers_files_has_no_controls(
    coverage: Path, rewrite: Callable[[Path, Callable[[Any], None]], None], file: str, edit: Callable[[Any], None]
) -> None:
    rewrite(coverage / file, edit)
    for options in ((), ("--json",)):
        result = run(verifier, "bundle", coverage, *options)
        assert result.exit_code == 1
        assert_clean(result.output)
    if file.endswith(POLICY_FILE):
        for command in ("show", "check"):
            result = run(prover, "policy", command, coverage / file)
            assert result.exit_code == 1
            assert_clean(result.output)


def test_refusal_of_key_with_controls_that_is_not_ascii_has_none(coverage: Path) -> None:
    """The path of a field in an error is made of keys."""
    data = (coverage / "bundle.json").read_bytes()
    key = json.dumps({ESCAPE: {CONTROLS: 1}}, ensure_ascii=False).encode()
    (coverage / "bundle.json").write_bytes(b'{"\\u001b[2J":' + key + b"," + data[1:])
    policy = coverage / "statements" / "coverage" / POLICY_FILE
    shutil.copy(coverage / "bundle.json", policy)
    result = run(verifier, "bundle", coverage)
    assert result.exit_code == 1
    assert_clean(result.output)
    shown = run(prover, "policy", "show", policy)
    assert shown.exit_code == 1
    assert_clean(shown.output)


def test_receipt_of_strangers_is_shown_without_controls(venue: Any, tmp_path: Path) -> None:
    view = json.loads(venue.receipt("acct-a").read_bytes())
    view[CONTROLS] = CONTROLS
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(view), encoding="utf-8")
    refused = run(verifier, "receipt", path, "--id", "acct-a")
    assert refused.exit_code == 2
    assert_clean(refused.output)
    mistyped = run(verifier, "receipt", venue.receipt("acct-a"), "--id", f"{CONTROLS}acct-a")
    assert mistyped.exit_code == 1
    assert_clean(mistyped.output)


def test_receipt_of_a_hostile_bundle_is_shown_without_controls(hostile_bundle: Path) -> None:
    """The words of a policy stand in the margin that a receipt shows."""
    receipt = hostile_bundle.with_name("receipt.json")
    shown = run(verifier, "receipt", receipt, "--id", "holder-0", "--bundle", hostile_bundle)
    assert shown.exit_code == 0, shown.output
    assert "Statement coverage: coverage" in shown.output
    assert_clean(shown.output)


def test_path_with_controls_is_named_without_them(tmp_path: Path) -> None:
    name = ESCAPE.replace("/", "")
    for command, arguments in (
        (verifier, ("bundle", tmp_path / name)),
        (prover, ("margin", "show", "--book", tmp_path / name)),
        (prover, ("receipts", "--vault", tmp_path / name, "--out", tmp_path / "out")),
    ):
        result = run(command, *arguments)
        assert result.exit_code in (1, 2)
        assert_clean(result.output)


def test_book_with_controls_is_refused_without_them(tmp_path: Path) -> None:
    book = Path(shutil.copytree(SMALL, tmp_path / "book"))
    honest = {path.name: path.read_text(encoding="utf-8") for path in book.iterdir()}
    for file, find, put in (
        ("accounts.csv", "acct-e", f"acct-{ESCAPE}"),
        ("balances.csv", "acct-b,,BTC", f"acct-{ESCAPE},,BTC"),
        ("balances.csv", "0.9", f"0.9{ESCAPE}"),
        ("positions.csv", "BTC-27JUN25,", f"{ESCAPE},"),
        ("instruments.yaml", "name: SOL", f'name: "{ESCAPE}"'),
        ("market.yaml", "rates:", '"\\e[2Jrates":'),
        ("venue.yaml", "example-exchange", '"example\\e[2J"'),
        ("reserves.yaml", "SOL:", '"\\e[2JSOL":'),
    ):
        (book / file).write_text(honest[file].replace(find, put, 1), encoding="utf-8")
        result = run(prover, "margin", "show", "--book", book)
        assert_clean(result.output)
        if file != "accounts.csv":
            assert result.exit_code == 1, file
        (book / file).write_text(honest[file], encoding="utf-8")


def test_publishing_totals_of_few_accounts_warns(venue: Any, tmp_path: Path) -> None:
    """One holder has all the SOL: its total is his balance. Positions net to zero, so theirs tell nothing."""
    result = run(prover, "publish", "--book", SMALL, "--vault", venue.vault, "--out", tmp_path / "bundle")
    assert result.exit_code == 0, result.stderr
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert any("balance SOL" in line and line.endswith(": 1") for line in warnings)
    assert any("maintenance, shortfall" in line for line in warnings)
    assert not any("position" in line for line in warnings)


def test_receipts_are_not_written_into_a_bundle(venue: Any, bundle: Path) -> None:
    before = {path.name for path in bundle.iterdir()}
    result = run(prover, "receipts", "--vault", venue.vault, "--out", bundle / "receipts")
    assert result.exit_code == 1
    assert "inside a public bundle" in result.stderr
    assert {path.name for path in bundle.iterdir()} == before
