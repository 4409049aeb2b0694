"""The measurement of liquidation prices and cascades runs, and measures something."""

import re

import pytest

from benchmarks.liquidation import CONTRACTS, main, measure


@pytest.mark.parametrize("model", CONTRACTS)
def test_measures_each_model(model: str) -> None:
    found = measure(model, 1000, 20)
    assert found.positions == 10_000
    assert 0 < found.priced < 10_000
    assert found.rounds > 0


def test_prints_a_line_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--accounts", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == list(CONTRACTS)
    assert all(
        re.search(r"200 positions, \d+ with a price, \d+\.\d\d s; cascade of \d+ rounds", line) for line in lines
    )
