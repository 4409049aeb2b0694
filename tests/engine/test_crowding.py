"""Crowding totals of a book: what the statement defines, computed exactly and read back from a file."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_array

from crossmargin.analysis.replay import opened_crowding
from crossmargin.book.exact_sum import total_of
from crossmargin.engine.crowding_totals import crowding_of
from crossmargin.engine.evaluate import LimitError
from crossmargin.errors import InputError
from crossmargin.loading import Inputs, load_folder, load_margin_model
from crossmargin.loading.yaml import load_model
from crossmargin.market.crowding import Crowding
from crossmargin.market.scenarios import Scenario
from crossmargin.models import MarginModel
from crossmargin.models.base import StatementConfig
from crossmargin.models.policies import build_policy, rebuild_policy
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.policy import Role

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def book() -> Inputs:
    return load_folder(EXAMPLES / "book")


@pytest.fixture(scope="module")
def model() -> MarginModel:
    return load_margin_model(EXAMPLES / "models" / "contagion_scenario.yaml")


@pytest.fixture(scope="module")
def compiled(book: Inputs, model: MarginModel) -> CompiledPolicy:
    return compile_policy(build_policy("test", book.environment, model, "crowding"))


def test_totals_are_sums_over_accounts(book: Inputs, model: MarginModel, compiled: CompiledPolicy) -> None:
    """Against central differences of full revaluation, in floats; a unit's exposure is rounded to a quantum."""
    found = crowding_of(compiled, book.book.records, "test")
    for name, totals in found.exposures.items():
        up, down = (
            book.environment.valuation.unit_values(Scenario(1, "", {name: move}, {}))
            for move in (Fraction(1, 10_000), Fraction(-1, 10_000))
        )
        deltas = book.book.records @ ((up - down) / 0.0002)
        beyond = float(model.thresholds[name])
        assert float(totals.gross) == pytest.approx(np.abs(deltas).sum(), rel=2e-4)
        rounding = 1e-4 * float(totals.gross)
        assert float(totals.large_longs) == pytest.approx(np.maximum(deltas - beyond, 0).sum(), abs=rounding)
        assert float(totals.large_shorts) == pytest.approx(np.maximum(-deltas - beyond, 0).sum(), abs=rounding)
    assert float(found.equity) == pytest.approx(
        (book.book.records @ book.environment.valuation.unit_values()).sum(), rel=2e-4
    )


def test_engine_totals_are_those_of_the_compiled_auxiliaries(book: Inputs, compiled: CompiledPolicy) -> None:
    records = book.book.records[:200]
    auxiliaries = [compiled.witness([int(value) for value in row])[0] for row in records.toarray()]
    found = crowding_of(compiled, records, "test")
    quantum = Fraction(compiled.policy.value_unit.quantum)
    for name, totals in found.exposures.items():
        for word, total in (
            ("gross", totals.gross),
            ("large longs", totals.large_longs),
            ("large shorts", totals.large_shorts),
        ):
            number = compiled.auxiliary_of[f"{word} {name}"]
            assert Fraction(total) == sum(row[number] for row in auxiliaries) * quantum


def test_file_of_the_example_book_is_near_its_totals(book: Inputs, model: MarginModel) -> None:
    """It is that of the day before; the rule reads about the same from both."""
    today, published = opened_crowding(book.environment, model, book.book.records), book.crowding
    assert published is not None
    for name, totals in today.exposures.items():
        assert float(published.exposures[name].gross) == pytest.approx(float(totals.gross), rel=0.05)
    assert float(published.equity) == pytest.approx(float(today.equity), rel=0.05)


def test_totals_read_back_from_a_file(compiled: CompiledPolicy, book: Inputs, tmp_path: Path) -> None:
    found = crowding_of(compiled, book.book.records, "statement of today")
    (tmp_path / "crowding.yaml").write_text(found.model_dump_json(), encoding="utf-8")
    assert load_model(tmp_path / "crowding.yaml", Crowding)[0] == found


def test_everything_is_an_exposure_that_is_opened(compiled: CompiledPolicy) -> None:
    policy = compiled.policy
    auxiliaries = [each for each in policy.definitions if each.role.is_auxiliary]
    assert len(auxiliaries) == 9 and {each.role for each in auxiliaries} == {Role.EXPOSURE}
    assert not policy.constraints
    assert rebuild_policy(policy) == policy


def test_book_under_water_has_no_equity(compiled: CompiledPolicy) -> None:
    record = [1] + [0] * (len(compiled.policy.layout) - 1)
    record[1] = -(10**9)
    found = crowding_of(compiled, csr_array(np.array([record], dtype=np.int64)), "test")
    assert found.equity == 0
    assert all(each.gross == 0 for each in found.exposures.values())


def test_record_beyond_its_limit_is_refused(compiled: CompiledPolicy) -> None:
    record = [1] + [0] * (len(compiled.policy.layout) - 1)
    record[-1] = compiled.policy.layout.columns[-1].limit + 1
    with pytest.raises(LimitError):
        crowding_of(compiled, csr_array(np.array([record], dtype=np.int64)), "test")


def test_statement_needs_thresholds(book: Inputs) -> None:
    bare = book.model.model_copy(update={"statements": (StatementConfig(name="crowding"),)})
    with pytest.raises(InputError) as caught:
        build_policy("test", book.environment, bare, "crowding")
    assert caught.value.field == "contagion.thresholds"
    assert "contagion.thresholds.BTC" in caught.value.hint


def test_statement_has_no_factor() -> None:
    with pytest.raises(ValidationError, match="remove factor"):
        StatementConfig(name="crowding", factor=Decimal(1))


def test_large_parts_beyond_gross_are_refused(book: Inputs) -> None:
    assert book.crowding is not None
    data = book.crowding.model_dump(mode="json")
    data["exposures"]["BTC"]["large_longs"] = "27900000"
    with pytest.raises(ValidationError, match="the large parts exceed the gross exposure"):
        Crowding.model_validate(data)
    data["exposures"]["BTC"]["large_longs"] = "-1"
    with pytest.raises(ValidationError, match="negative"):
        Crowding.model_validate(data)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_totals_leave_no_64_bits_behind(values: list[int]) -> None:
    assert total_of(np.array(values, dtype=np.int64)) == sum(values)
