"""A series of bundles: each publication under a name of its own, and `latest`, which moves in one step."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from crossmargin.loading import Inputs, load_folder
from crossmargin.placement import ForeignNameError
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover import OrderError, Run, Vault, VaultError, commit, deliver, pipeline, publish
from crossmargin_prover.workflow.series import move_latest
from crossmargin_verifier.bundle.check import check_bundle

SMALL = Path(__file__).parents[2] / "examples" / "small"
RUN = Run(shard=8, packing=0)

ANYWAY = {"series": True, "despite_claims": True, "other_prices": True}
"""A bundle of one statement lacks claims, and the later one shows the same snapshot at other prices."""


@pytest.fixture(scope="module")
def book() -> Inputs:
    inputs = load_folder(SMALL)
    statements = tuple(each for each in inputs.model.statements if each.name == "coverage")
    return replace(inputs, model=inputs.model.model_copy(update={"statements": statements}))


def hours_later(inputs: Inputs, hours: int) -> Inputs:
    as_of = inputs.market.as_of + timedelta(hours=hours)
    return replace(inputs, market=inputs.market.model_copy(update={"as_of": as_of}))


@pytest.fixture(scope="module")
def venue(book: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles in a series: the snapshot, and an hour later the same accounts."""
    root = tmp_path_factory.mktemp("venue")
    later = hours_later(book, 1)
    list(pipeline(book, root / "vault", root / "public", None, RUN, **ANYWAY))
    list(pipeline(later, root / "later", root / "public", None, RUN, since=root / "vault", **ANYWAY))
    return root


@pytest.fixture
def root(venue: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(venue, tmp_path / "venue", symlinks=True))


def digest_of(vault: Path) -> str:
    return Vault.open(vault).load().manifest.digest.hex()[:8]


def names(series: Path) -> list[str]:
    return sorted(each.name for each in series.iterdir())


def test_each_bundle_keeps_its_name(venue: Path) -> None:
    series, digest = venue / "public", digest_of(venue / "vault")
    first, second = f"20250328T080000Z-{digest}", f"20250328T080000Z-{digest}-prices-20250328T090000Z"
    assert names(series) == sorted([first, second, "latest"])
    assert (series / "latest").readlink() == Path(second)
    for name in (first, second, "latest"):
        check_bundle(series / name)
    assert check_bundle(series / "latest").digests == check_bundle(series / second).digests


def test_check_goes_on_while_latest_moves(root: Path) -> None:
    """A verifier that opened the earlier bundle by `latest` is not disturbed when a later one is published."""
    series = root / "public"
    first, second = (each for each in names(series) if each != "latest")
    move_latest(series / first)
    moved = []

    def move(stage: str, done: int, total: int) -> None:
        if not moved:
            moved.append(stage)
            move_latest(series / second)

    verdict = check_bundle(series / "latest", progress=move)
    assert moved
    assert (series / "latest").readlink() == Path(second)
    assert verdict.digests == check_bundle(series / first).digests


def test_same_publication_again_changes_nothing_else(root: Path, book: Inputs) -> None:
    series = root / "public"
    before = names(series)
    published = publish(hours_later(book, 1), root / "later", series, run=RUN, **ANYWAY)
    assert published.bundle == series / (series / "latest").readlink()
    assert names(series) == before


def test_older_bundle_is_refused(root: Path, book: Inputs) -> None:
    series = root / "public"
    with pytest.raises(OrderError, match="later bundle"):
        publish(book, root / "vault", series, run=RUN, series=True)
    second = (series / "latest").readlink()
    publish(book, root / "vault", series, run=RUN, older=True, **ANYWAY)
    assert (series / "latest").readlink() != second
    assert second.name in names(series)


def test_foreign_entries_stay(root: Path, book: Inputs) -> None:
    series = root / "public"
    (series / "index.html").write_text("ours", encoding="utf-8")
    (series / "latest").unlink()
    (series / "latest").mkdir()
    (series / "latest" / "keep").write_text("ours", encoding="utf-8")
    before = names(series)
    for attempt in (
        lambda: publish(book, root / "vault", series, run=RUN, series=True),
        lambda: list(pipeline(book, root / "vault", series, run=RUN, series=True)),
    ):
        with pytest.raises(VaultError, match="latest is no link"):
            attempt()
    with pytest.raises(ForeignNameError, match="no link"):
        move_latest(series / before[0])
    assert names(series) == before
    assert (series / "latest" / "keep").read_text(encoding="utf-8") == "ours"


def test_series_is_a_folder(root: Path, book: Inputs) -> None:
    (root / "file").write_text("ours", encoding="utf-8")
    with pytest.raises(VaultError, match="no folder"):
        publish(book, root / "vault", root / "file", run=RUN, series=True)
    assert (root / "file").read_text(encoding="utf-8") == "ours"


def test_bundle_is_not_published_over_a_series(root: Path, book: Inputs) -> None:
    before = names(root / "public")
    with pytest.raises(CrossmarginError, match="holds something else"):
        publish(book, root / "vault", root / "public", run=RUN)
    assert names(root / "public") == before


def test_nothing_private_in_a_series(root: Path, book: Inputs) -> None:
    with pytest.raises(CrossmarginError, match="public bundle"):
        deliver(root / "vault", root / "public" / "receipts")
    with pytest.raises(VaultError, match="public bundle"):
        commit(book, root / "public" / "vault", RUN)
