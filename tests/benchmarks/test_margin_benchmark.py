"""The measurement of margin, liquidation prices and cascades runs, and measures something."""

import re

import pytest

from benchmarks.margin import LIQUIDATION, MARGIN, main, measure_liquidation


@pytest.mark.parametrize("model", LIQUIDATION)
def test_measures_each_model(model: str) -> None:
    found = measure_liquidation(model, 1000, 20, 4)
    assert found.positions == 10_000
    assert 0 < found.priced < 10_000
    assert found.rounds > 0


def test_prints_a_line_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--accounts", "200"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[:2] for line in lines] == [
        *(["margin", model] for model in MARGIN),
        *(["liquidation", model] for model in LIQUIDATION),
    ]
    assert all(re.search(r"\d+\.\d\d s \(target", line) for line in lines)
    assert all(re.search(r"200 positions, \d+ with a price", line) for line in lines[len(MARGIN) :])
