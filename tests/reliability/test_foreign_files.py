"""No command removes or overwrites anything that it did not name itself, whatever folder it is pointed at (R1)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from crossmargin.cli.plotting import PlotError, draw
from crossmargin.placement import Names, remove_folder, sweep
from crossmargin_prover.vault.vault import Vault, VaultError
from tests.reliability.conftest import EXAMPLE, HIDDEN, HOME, command, contents, fill

HEX = "0123456789abcdef"

FOREIGN: dict[str, dict[str, str]] = {
    "home": HOME,
    "hidden alone": HIDDEN,
    "one hidden file": {".profile": "export A=1"},
    "link to elsewhere": {"photos": "->/usr", ".cache": "->/tmp"},
    "links named like ours": {f"{name}.{HEX}": "->/usr" for name in (".lock", ".bundle.json", ".index.json")},
    "names like ours": {
        "vault/notes.txt": "mine", "index.json": '{"name": "a web site"}', "bundle.json": "{}", "lock": "mine",
        "snapshot/notes": "mine", "report.json": "{}", "signing.key": "mine",
    },
    "hidden names like ours": {f".notes.txt.{HEX}": "draft", f".vault.{HEX}/letter": "mine", ".lock.1234": "mine"},
    "below our folders": {f"snapshot/.git.{HEX}/HEAD": "ref", f"statements/coverage/.secret.{HEX}": "mine"},
}  # fmt: skip


@pytest.fixture(params=FOREIGN)
def foreign(request: Any, tmp_path: Path) -> Path:
    return fill(tmp_path / "theirs", FOREIGN[request.param])


@pytest.mark.parametrize("linked", [False, True])
def test_vault_is_made_in_no_folder_of_others(foreign: Path, tmp_path: Path, linked: bool) -> None:
    before, target = contents(foreign), foreign
    if linked:
        target = tmp_path / "link"
        target.symlink_to(foreign)
    result = command("commit", "--book", EXAMPLE, "--vault", target, "--processes", 1)
    assert result.exit_code == 1
    assert "refused: " in result.stderr
    named = {str(name) for name in before} | {Path(name).name for name in before}
    assert any(name in result.stderr for name in named), "the message names what is there"
    assert contents(foreign) == before


def test_nothing_is_published_or_delivered_or_shown_in_place_of_others(
    foreign: Path, vault: Path, publish: Callable[..., Result]
) -> None:
    before, mode = contents(foreign), foreign.stat().st_mode
    results = (
        publish(foreign),
        command("receipts", "--vault", vault, "--out", foreign),
        command("demo", "--book", EXAMPLE, "--out", foreign),
        command("run", "--book", EXAMPLE, "--vault", vault, "--bundle", foreign, "--processes", 1),
    )
    for result in results:
        assert result.exit_code == 1
        assert "refused: " in result.stderr
    assert contents(foreign) == before
    assert foreign.stat().st_mode == mode
    assert [path.name for path in foreign.parent.iterdir() if path.name.startswith(".")] == []


def test_own_vault_keeps_what_others_put_there(vault: Path, publish: Callable[..., Result], tmp_path: Path) -> None:
    """A sweep takes files and folders of killed runs alone; links are never ours, whatever their names."""
    secret = fill(tmp_path / "elsewhere", {"deed": "mine", f".signing.key.{HEX}": "mine"})
    theirs = {
        ".git/HEAD": "ref", ".env": "TOKEN", "notes.txt": "mine", f".notes.{HEX}": "mine", "work/.hidden": "mine",
        f".signing.key.{HEX[1:]}": "short", "work/initial/.thing.txt": "mine", f"statements/.Letter.{HEX}/x": "mine",
        f"statements/.coverage.{HEX}/diary": "mine", "far": f"->{secret}",
        f".report.json.{HEX}": f"->{secret / 'deed'}", f"statements/.maintenance.{HEX}": f"->{secret}",
        f"work/.maintenance.{HEX}": "->/nowhere",
    }  # fmt: skip
    ours = {
        f".signing.key.{HEX}": "half", f"snapshot/.plan.npz.{HEX}": "half",
        f".snapshot.{HEX}/shard-000000.npz": "half", f"statements/.coverage.{HEX}/policy.json": "half",
        f"work/.coverage.{HEX}/slack-000000.npz": "half",
    }  # fmt: skip
    before = contents(vault)
    fill(vault, theirs)
    with_theirs = contents(vault)
    fill(vault, ours)
    assert publish(tmp_path / "bundle").exit_code == 4
    after = contents(vault)
    assert after.pop("snapshot/published.json")[0] == "file", "the log of what was published"
    assert after == with_theirs | {"statements/.coverage." + HEX: ("folder", b"")}
    assert set(before) < set(with_theirs)
    assert contents(secret) == {"deed": ("file", b"mine"), f".signing.key.{HEX}": ("file", b"mine")}


def test_linked_folder_inside_a_vault_is_refused(vault: Path, tmp_path: Path) -> None:
    home = fill(tmp_path / "home", HOME | {f".coverage.{HEX}/policy.json": "mine"})
    before = contents(home)
    (vault / "work").rmdir() if (vault / "work").exists() else None
    (vault / "work").symlink_to(home)
    with pytest.raises(VaultError, match="work is a link"), Vault.open(vault).locked():
        pass
    assert contents(home) == before


def test_linked_lock_touches_nothing_elsewhere(vault: Path, tmp_path: Path) -> None:
    (vault / "lock").unlink()
    (vault / "lock").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="lock"), Vault.open(vault).locked():
        pass
    assert not (tmp_path / "made").exists()


def test_vault_without_its_marker_gets_it_again(vault: Path, publish: Callable[..., Result], tmp_path: Path) -> None:
    marker = vault / "crossmargin-vault.txt"
    text = marker.read_text(encoding="utf-8")
    assert text.startswith("This folder is a crossmargin vault")
    marker.unlink()
    assert publish(tmp_path / "bundle").exit_code == 4
    assert marker.read_text(encoding="utf-8") == text
    (vault / "snapshot" / "snapshot.cm2").unlink()
    Vault.create(vault)
    assert command("commit", "--book", EXAMPLE, "--vault", vault, "--shard", 4, "--processes", 1).exit_code == 0


def test_killed_beginning_of_a_vault_is_begun_again(tmp_path: Path) -> None:
    fill(tmp_path / "vault", {f".crossmargin-vault.txt.{HEX}": "half"})
    Vault.create(tmp_path / "vault")
    assert not list((tmp_path / "vault").glob(".*"))
    fill(tmp_path / "other", {"crossmargin-vault.txt": "my notes about vaults"})
    with pytest.raises(VaultError, match=r"crossmargin-vault\.txt is not that of a vault"):
        Vault.create(tmp_path / "other")


def test_statement_folder_with_a_foreign_file_is_not_replaced(vault: Path, tmp_path: Path) -> None:
    diary = fill(vault / "statements" / "coverage", {"diary.txt": "mine"}) / "diary.txt"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1, "--packing", 0)
    result = command("prove", *options, "--statement", "coverage")
    assert result.exit_code == 1
    assert "holds something else, diary.txt" in result.stderr
    assert diary.read_text(encoding="utf-8") == "mine"


def test_unexpected_file_of_a_statement_stops_publishing(
    vault: Path, publish: Callable[..., Result], tmp_path: Path
) -> None:
    """A stray shard with records and ids would become public."""
    stray = vault / "statements" / "coverage" / "shard-000000.npz"
    stray.write_bytes((vault / "snapshot" / "shard-000000.npz").read_bytes())
    result = publish(tmp_path / "bundle")
    assert result.exit_code == 1
    assert "shard-000000.npz" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_unexpected_file_of_the_snapshot_stops_publishing(
    vault: Path, publish: Callable[..., Result], tmp_path: Path
) -> None:
    (vault / "snapshot" / "accounts.csv").write_text("acct-a", encoding="utf-8")
    result = publish(tmp_path / "bundle")
    assert result.exit_code == 1
    assert "accounts.csv, no file of a snapshot" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_private_files_of_a_snapshot_stay_private(vault: Path, publish: Callable[..., Result], tmp_path: Path) -> None:
    assert (vault / "snapshot" / "shard-000000.npz").exists()
    assert publish(tmp_path / "bundle").exit_code == 4
    assert {path.suffix for path in (tmp_path / "bundle").rglob("*") if path.is_file()} == {
        ".cm2",
        ".json",
        ".sig",
        ".txt",
    }


def test_temporary_files_of_a_statement_stay_private(
    vault: Path, publish: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossmargin_prover.vault.vault.sweep", lambda folder, names: None)
    fill(vault / "statements" / "coverage", {f".policy.json.{HEX}": "half", f".slack.cm2.{HEX}": "half"})
    assert publish(tmp_path / "bundle").exit_code == 4
    assert not list((tmp_path / "bundle").rglob(".*"))


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "mine"},
        {".git/HEAD": "ref"},
        {"statements/coverage/.env": "mine"},
        {"statements/coverage/old": "->/usr"},
        {"statements/photos/policy.json": "mine"},
        {"snapshot/shard-000000.npz": "records"},
        {"coverage/policy.json": "mine"},
    ],
)
def test_bundle_with_a_foreign_file_is_not_replaced(
    publish: Callable[..., Result], tmp_path: Path, files: dict[str, str]
) -> None:
    bundle = tmp_path / "bundle"
    assert publish(bundle).exit_code == 4
    fill(bundle, files)
    before = contents(bundle)
    result = publish(bundle)
    assert result.exit_code == 1
    assert (
        f"holds something else, {next(iter(files)).replace('/HEAD', '').replace('/policy.json', '')}" in result.stderr
    )
    assert contents(bundle) == before


def test_links_beside_a_bundle_stay(publish: Callable[..., Result], tmp_path: Path) -> None:
    theirs = {f".bundle.{HEX}": "->/usr", f".bundle.{HEX[::-1]}": "->/nowhere"}
    place = fill(tmp_path / "place", theirs)
    before = contents(place)
    for _ in range(2):
        assert publish(place / "bundle").exit_code == 4
    assert before.items() <= contents(place).items()


@pytest.mark.parametrize("target", ["/usr", "../elsewhere", "notes", "nowhere"])
def test_latest_of_others_stays(publish: Callable[..., Result], tmp_path: Path, target: str) -> None:
    fill(tmp_path / "elsewhere", HOME)
    series = fill(tmp_path / "series", {"latest": f"->{target}", "notes/x": "mine"})
    before = contents(tmp_path)
    result = publish(series, "--series")
    assert result.exit_code == 1
    assert "latest leads to no bundle of the series" in result.stderr
    assert contents(tmp_path).items() == before.items()


def test_temporary_links_of_others_stay_in_a_series(publish: Callable[..., Result], tmp_path: Path) -> None:
    ours = f".latest.{HEX[::-1]}"
    series = fill(tmp_path / "series", {f".latest.{HEX}": "->/usr", ours: "->20250328T080000Z-0123abcd"})
    assert publish(series, "--series").exit_code == 4
    assert (series / f".latest.{HEX}").is_symlink()
    assert not (series / ours).is_symlink()


def test_link_that_leads_to_itself_is_refused(vault: Path, publish: Callable[..., Result], tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for result in (
        command("commit", "--book", EXAMPLE, "--vault", loop, "--processes", 1),
        publish(loop),
        publish(loop, "--series"),
        command("receipts", "--vault", vault, "--out", loop),
        command("run", "--book", EXAMPLE, "--vault", vault, "--bundle", loop, "--processes", 1),
        command("run", "--book", EXAMPLE, "--vault", vault, "--bundle", tmp_path / "b", "--receipts", loop),
        command("demo", "--book", EXAMPLE, "--out", loop),
    ):
        assert result.exit_code == 1
        assert "refused: " in result.stderr
        assert str(loop) in result.stderr
    assert loop.is_symlink()


def test_bundle_behind_a_link_is_replaced_there(publish: Callable[..., Result], tmp_path: Path) -> None:
    store = fill(tmp_path / "disk", {"notes.txt": "mine"})
    (tmp_path / "bundle").symlink_to(store / "bundle")
    for _ in range(2):
        assert publish(tmp_path / "bundle").exit_code == 4
    assert (tmp_path / "bundle").is_symlink()
    assert (store / "bundle" / "bundle.json").is_file()
    assert sorted(path.name for path in store.iterdir()) == ["bundle", "notes.txt"]


def test_receipts_stay_beside_nothing_else(vault: Path, tmp_path: Path) -> None:
    out = tmp_path / "receipts"
    assert command("receipts", "--vault", vault, "--out", out).exit_code == 0
    fill(out, {f".{'ab' * 16}.json.{HEX}": "half", f".{'cd' * 16}.cm2.{HEX}": "half"})
    assert command("receipts", "--vault", vault, "--out", out).exit_code == 0
    assert not list(out.glob(".*"))
    fill(out, {".bashrc": "mine"})
    before = contents(out)
    result = command("receipts", "--vault", vault, "--out", out)
    assert result.exit_code == 1
    assert "holds something else, .bashrc" in result.stderr
    assert contents(out) == before


def test_demo_replaces_a_demo_alone(vault: Path, tmp_path: Path) -> None:
    """A venue's own vault, bundle and receipts side by side have the names of a demo, but not its marker."""
    venue = tmp_path / "venue"
    venue.mkdir()
    vault.rename(venue / "vault")
    before = contents(venue)
    result = command("demo", "--book", EXAMPLE, "--out", venue)
    assert result.exit_code == 1
    assert "vault without crossmargin-demo.txt" in result.stderr
    assert contents(venue) == before


@pytest.mark.parametrize("kind", [".svg", ".png"])
def test_plot_replaces_a_plot_alone(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    plot, elsewhere = tmp_path / f"plot{kind}", tmp_path / f"elsewhere{kind}"
    draw(plot, 1, lambda axes: None)
    mine = plot.read_bytes()
    draw(plot, 1, lambda axes: None)
    assert plot.read_bytes() == mine
    for text in (b"my drawing", b"<?xml version='1.0'?><svg/>", b"\x89PNG\r\n\x1a\n"):
        plot.write_bytes(text)
        with pytest.raises(PlotError, match="is not a plot of crossmargin"):
            draw(plot, 1, lambda axes: None)
        assert plot.read_bytes() == text
    elsewhere.write_bytes(mine)
    plot.unlink()
    plot.symlink_to(elsewhere)
    with pytest.raises(PlotError, match="not a regular file"):
        draw(plot, 1, lambda axes: None)
    assert elsewhere.read_bytes() == mine
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([plot.name, elsewhere.name])


def test_names_match_whole_paths(tmp_path: Path) -> None:
    names = Names(("a", "b/[0-9]+"))
    folder = fill(tmp_path / "x", {"a": "", "b/1": "", f"b/.2.{HEX}": "", f".b.{HEX}/3": ""})
    assert names.foreign(folder) == []
    theirs = {
        "a.b": "",
        "b/x": "",
        "b/1x": "",
        "c/a": "",
        "b/2": "->/usr",
        f".c.{HEX}": "",
        f".a.{HEX}": "->/usr",
        f"b/.1.{HEX}0": "",
    }
    fill(folder, theirs)
    expected = ["a.b", f"b/.1.{HEX}0", "b/1x", "b/2", "b/x", "c", f".c.{HEX}", f".a.{HEX}"]
    assert names.foreign(folder) == sorted(expected)
    sweep(folder, names)
    assert not (folder / f".b.{HEX}").exists()
    assert (folder / "b" / "1").exists()
    assert not remove_folder(folder, names)
    assert names.foreign(folder) == sorted(expected)
    assert {path.name for path in folder.iterdir()} == {"a.b", "b", "c", f".c.{HEX}", f".a.{HEX}"}
