"""The harness of the benchmarks runs, its page can be made again, and its floors are those that the kernel prints."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import floor, run
from benchmarks.book import BookPlan, write_book
from benchmarks.campaign import CAMPAIGNS, Campaign, Incremental, Point
from benchmarks.figures import Figures, line_through
from benchmarks.models import MODELS
from benchmarks.plots import draw
from benchmarks.render import main, page
from benchmarks.stages import TASKS
from benchmarks.units import least, parse
from crossmargin.engine.evaluate import witness
from crossmargin.loading import Inputs, load_folder
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_prover.backend import available

MEMORY = {"parent": 1 << 28, "worker": 1 << 27, "together": 1 << 29}
ROOT = Path(__file__).resolve().parents[2]

PRINTED = """\
base field: multiplication                                  12.80 ns
scalars: multiplication                                     23.30 ns
affine addition, 256 in a batch                            110.00 ns
affine addition, 4096 in a batch                           103.00 ns
for a point:
multi-scalar multiplication of 16384                      4629.00 ns       22.5 additions            2314.00 ns    2.00
  decompression                                           4505.00 ns      270.0 products mod p       3444.00 ns    1.31
shard of 4096 accounts, for an account:
commit slack rows, the first time                        25000.00 ns
commit slack rows                                        19430.00 ns      133.5 additions          13729.00 ns    1.42
"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Figures of a campaign over very few accounts, with whatever backend there is."""
    folder = tmp_path_factory.mktemp("bench")
    backend = available()[0]
    common = {"columns": 50, "packing": 0, "backend": backend}
    incremental = Incremental(64, changed=(0.1,), repeats=1, **common)
    points = (Point("gamma", "2", 60, **common), Point("accounts", "62", 62, statements=3, **common))
    tiny = Campaign(256, points[1:], incremental, points[:1])
    apart = run.run_task

    def here(task: dict[str, Any]) -> dict[str, Any]:
        """Do a task in this process, where everything is loaded; the first is done in one of its own, as all are."""
        if task["do"] == "describe":
            return apart(task)
        start = time.perf_counter()
        result = json.loads(json.dumps(TASKS[task["do"]](task)))
        return {**result, "seconds": time.perf_counter() - start, "memory": MEMORY}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CAMPAIGNS, "small", tiny)
        patch.setattr(run, "run_task", here)
        patch.setattr(run.os, "cpu_count", lambda: 1)
        patch.setattr(run, "measure_units", lambda accounts: parse(PRINTED))
        patch.setattr(run, "HOSTILE", ["abbreviations that double"])
        options = ["--size", "small", "--results", str(folder / "results.json"), "--work", str(folder / "work")]
        assert run.main(options) == 0
    yield folder / "results.json"


def load(folder: Path, plan: BookPlan) -> Inputs:
    write_book(folder, plan)
    return load_folder(folder)


def test_campaign_measures_every_stage(figures: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    assert data["finished"]
    assert not data["failed"]
    point = Figures(data).point("gamma/2")
    assert point is not None
    for stage in ("load", "evaluate", "commit positions", "prove records", "commit slacks", "prove shards", "publish"):
        assert point.seconds(stage) > 0, stage
    assert 0 < point.verification < point.verify
    assert point.bytes_per_account("points") > 66
    runs = data["incremental"]["runs"]
    assert runs["moved 0.01"]["reused"]
    assert (runs["changed 0.1"]["unchanged"], runs["changed 0.1"]["changed"]) == (0, 0)


def test_page_and_plots_say_what_was_measured(figures: Path) -> None:
    text = (figures.parent / "benchmarks.md").read_text(encoding="utf-8")
    for heading in ("Targets", "Against the floor", "By what a book and a statement consist of", "An hour later"):
        assert f"\n## {heading}\n" in text
    assert "1,000,000 accounts: verified with the kernel | 60 s | - | not measured |" in text
    assert "10 % of accounts changed | 0 re-randomized, 0 changed, 64 committed |" in text
    assert (figures.parent / "plots" / "floor.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_further_statements_reuse_the_record_proofs(figures: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    point = Figures(data).point("accounts/62")
    assert point is not None
    assert point.further is not None
    assert 0 < point.added_by_records < 1
    further = point.further["run"]
    assert further["stages"].keys() >= {"prove initial", "prove coverage", "publish"}
    assert "prove records" not in further["stages"]
    run = point.data["run"]["bytes"]
    assert further["bytes"]["records"] == run["records"] > 0
    assert run["bundle"] < further["bytes"]["bundle"] < 3 * run["bundle"]
    text = (figures.parent / "benchmarks.md").read_text(encoding="utf-8")
    assert "| then prove coverage |" in text
    assert "| of these, record proofs | 0 |" in text


def test_hostile_bundles_are_measured_with_what_is_installed(figures: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    assert data["hostile"].keys() == set(available())
    for bundles in data["hostile"].values():
        assert bundles["abbreviations that double"]["end"].startswith("BudgetError")
        assert 0 < bundles["abbreviations that double"]["memory"] < 300 * 2**20
    text = (figures.parent / "benchmarks.md").read_text(encoding="utf-8")
    assert "worst hostile bundle of 100 kB, in plain Python: seconds of one core | 5 s |" in text
    assert "| abbreviations that double | BudgetError |" in text


def test_targets_are_met_or_missed_by_the_figures_alone(figures: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    for seconds, verdict in ((59.96, "| 60 s | 60.0 s | met |"), (60.3, "| 60 s | 60.3 s | **missed** |")):
        for accounts in (10**5, 3 * 10**5, 10**6):
            point = json.loads(json.dumps(data["points"]["gamma/2"]))
            point["point"]["accounts"] = accounts
            point["verify"]["seconds"] = seconds * accounts / 10**6
            data["points"][f"accounts/{accounts}"] = point
        text = page(Figures(data), [])
        assert f"1,000,000 accounts: verified with the kernel {verdict}" in text
        assert f"| verify | {seconds:.0f} µs | {seconds:.0f} µs | {seconds:.0f} µs | 10 min | 10 min |" in text


def test_plots_are_the_same_for_the_same_figures(figures: Path, tmp_path: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    drawn = draw(Figures(data), tmp_path)
    assert "incremental" in drawn
    for name in drawn:
        again = (figures.parent / "plots" / f"{name}.svg").read_bytes()
        assert (tmp_path / f"{name}.svg").read_bytes() == again, name


def test_figures_without_a_tool_chain_give_a_page(figures: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    text = page(Figures(data | {"kernel": None}), [])
    assert "could not be measured here without a Rust tool chain" in " ".join(text.split())


def test_an_unfinished_campaign_goes_on(figures: Path, tmp_path: Path) -> None:
    data = json.loads(figures.read_text(encoding="utf-8"))
    path = tmp_path / "results.json"
    for finished, kept in ((False, True), (True, False)):
        path.write_text(json.dumps(data | {"finished": finished}), encoding="utf-8")
        assert bool(run.Results(path, "small", fresh=False).data["points"]) is kept
        assert not run.Results(path, "full", fresh=False).data["points"]
        assert not run.Results(path, "small", fresh=True).data["points"]


def test_a_task_that_fails_says_why() -> None:
    with pytest.raises(run.FailedTaskError, match="no such folder"):
        run.run_task({"do": "verify", "bundle": "nowhere", "backend": "reference", "processes": 1})


def test_published_page_is_that_of_the_published_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = ROOT / "docs" / "plots" / "figures.json"
    monkeypatch.setattr("sys.argv", ["render", str(published), str(tmp_path)])
    main()
    expected = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == expected
    for name in (ROOT / "docs" / "plots").glob("*.svg"):
        assert f"plots/{name.name}" in expected


@pytest.mark.parametrize("rows", MODELS)
def test_statement_has_the_stated_rows_and_all_accounts_are_solvent(rows: int, tmp_path: Path) -> None:
    inputs = load(tmp_path, BookPlan(40, columns=60, positions=None, rows=rows))
    policy = build_policy("venue", inputs.environment, inputs.model, "maintenance")
    compiled = compile_policy(policy)
    assert len(compiled.relation.rows) == rows
    assert compiled.relation.values == MODELS[rows].values
    assert len(witness(compiled, inputs.book.records).slacks) == 40
    assert not np.asarray(inputs.book.records.sum(axis=0)).ravel()[2:].any()


def test_book_has_the_stated_columns_and_positions(tmp_path: Path) -> None:
    inputs = load(tmp_path, BookPlan(1000, columns=50, positions=10))
    assert len(inputs.book.layout) == 50
    assert set(np.diff(inputs.book.records[:, 2:].indptr).tolist()) == {10}
    assert len(set(inputs.book.accounts)) == 1000


def test_a_changed_book_differs_in_one_position_of_the_stated_accounts(tmp_path: Path) -> None:
    before = load(tmp_path / "before", BookPlan(1000, columns=50))
    after = load(tmp_path / "after", BookPlan(1000, columns=50, changed=0.1, hour=1))
    changed = (after.book.records - before.book.records)[:, 2:]
    changed.eliminate_zeros()
    assert np.diff(changed.indptr).tolist().count(1) == 100
    assert changed.nnz == 100
    assert set(np.abs(changed.data).tolist()) <= {1, 2}


def test_floors_are_those_that_the_kernel_prints() -> None:
    """The kernel's own measurement prints these counts for a point, and for an account of 16 values."""
    for points, additions in ((45, 59.6), (512, 37.5), (2325, 28.9), (4650, 26.6), (16384, 22.5), (65536, 20.2)):
        assert floor.buckets(points) / points == pytest.approx(additions, abs=0.06)
    uses = [[0, 0]] * 40 + [[4096 * 11, 500]]
    sizes = floor.Sizes(4096, 4096, 1, 500, 16, 0, 2, 4096 * 11, uses)
    assert floor.commit_positions(sizes).additions / 4096 == pytest.approx(126.4, abs=0.06)
    assert floor.commit_slacks(sizes).additions / 4096 == pytest.approx(133.5)
    assert floor.prove(sizes).scalar / 4096 == pytest.approx(400 + 2.5 + 11 / 4)


def test_what_the_kernel_prints_is_read() -> None:
    found = parse(PRINTED)
    assert found["units"] == {"additions": 103.0, "base": 12.8, "scalar": 23.3}
    assert [each["name"] for each in found["operations"]] == [
        "multi-scalar multiplication of 16384",
        "decompression of 16384",
        "commit slack rows",
    ]
    with pytest.raises(ValueError, match="printed no"):
        parse("nothing\n")


def test_least_figures_of_several_measurements_count() -> None:
    slower = PRINTED.replace(" 12.80 ns", " 16.00 ns").replace(" 19430.00 ns", " 29430.00 ns")
    found = least([parse(slower), parse(PRINTED), parse(slower)])
    assert found["units"] == parse(PRINTED)["units"]
    decompression, slack_rows = found["operations"][1:]
    assert (decompression["floor"], decompression["ratio"]) == (3456, 1.3)
    assert (slack_rows["ns"], slack_rows["ratio"]) == (19430, 1.41)


def test_line_goes_through_points_on_a_line() -> None:
    line = line_through([(1e5, 7.0), (3e5, 17.0), (1e6, 52.0)])
    assert (line.base, line.slope) == (pytest.approx(2), pytest.approx(5e-5))
