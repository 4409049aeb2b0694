"""What is wrong with a field of a model names the file that it was read from, whatever it is called, or none."""

import re
from copy import deepcopy
from decimal import Decimal
from pathlib import Path

import pytest

import crossmargin as cm
from crossmargin.errors import InputError, InputErrors
from crossmargin.liquidation.rule import Rule
from crossmargin.loading import Parameters, load_margin_model, load_parameters
from crossmargin.models import MarginModel, build_policy, parse_model
from crossmargin.origin import Origin

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "examples" / "book"
MODELS = ROOT / "examples" / "models"
FINE = "0.0000000000000000001"


@pytest.fixture(scope="module")
def example() -> Parameters:
    return load_parameters(BOOK)


def other(folder: Path, name: str, *changes: tuple[str, str]) -> MarginModel:
    """Return an example model as it is read from `other.yaml`, with the first matches of patterns exchanged."""
    text = (MODELS / f"{name}.yaml").read_text(encoding="utf-8")
    for pattern, instead in changes:
        text, count = re.subn(pattern, instead, text, count=1)
        assert count, pattern
    (folder / "other.yaml").write_text(text, encoding="utf-8")
    return load_margin_model(folder / "other.yaml")


def line_of(folder: Path, part: str) -> int:
    """Return the line of `other.yaml` with a part."""
    lines = (folder / "other.yaml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if part in line)


def refusal(model: MarginModel, example: Parameters, statement: str = "initial") -> InputError:
    """Return why a policy is refused."""
    with pytest.raises(InputError) as refused:
        build_policy("test", example.environment, model, statement)
    return refused.value


@pytest.mark.parametrize("name", ["scenario_portfolio_margin", "cross_margin", "delta_margin", "span"])
def test_a_quantum_that_cannot_hold_a_value(example: Parameters, tmp_path: Path, name: str) -> None:
    model = other(tmp_path, name, (r"quantum: [^},\n]+", f'quantum: "{FINE}"'))
    problem = refusal(model, example)
    assert (problem.file, problem.field) == ("other.yaml", "value_unit.quantum")
    assert problem.line == line_of(tmp_path, "quantum")


def test_a_statement_that_is_not_there(example: Parameters, tmp_path: Path) -> None:
    problem = refusal(other(tmp_path, "span"), example, "overnight")
    assert problem.place == f"other.yaml, line {line_of(tmp_path, 'statements:') + 1}, statements"


def test_a_range_that_a_rule_raises_to_one(example: Parameters, tmp_path: Path) -> None:
    model = other(tmp_path, "dynamic_scenario", (r'multiplier: "[0-9.]+"', 'multiplier: "100"'))
    with pytest.raises(InputErrors) as refused:
        cm.load(BOOK).with_model(model)
    for problem in (refused.value.problems[0], refusal(model, example)):
        assert problem.place == f"other.yaml, line {line_of(tmp_path, 'multiplier')}, dynamic.multiplier"


def test_a_buffer_that_leaves_no_factor(tmp_path: Path) -> None:
    model = other(tmp_path, "span")
    with pytest.raises(InputError, match="makes a factor") as refused:
        Rule("test", model, "initial").buffered(Decimal(1000))
    assert refused.value.place == f"other.yaml, line {line_of(tmp_path, 'statements:') + 1}, statements"


def test_a_market_that_is_too_old_is_no_fault_of_the_models_file(tmp_path: Path) -> None:
    model = other(tmp_path, "span", (r"staleness_limit_seconds: [0-9]+", "staleness_limit_seconds: 1"))
    with pytest.raises(InputErrors) as refused:
        cm.load(BOOK).with_model(model)
    assert {problem.file for problem in refused.value.problems} == {""}


def test_a_model_of_a_program_names_no_file(example: Parameters, tmp_path: Path) -> None:
    data = other(tmp_path, "span").model_dump(mode="json", exclude_none=True)
    data["value_unit"]["quantum"] = FINE
    problem = refusal(parse_model(data), example)
    assert problem.place == "value_unit.quantum"


def test_the_same_model_is_equal_wherever_it_was_read(tmp_path: Path) -> None:
    here, there = other(tmp_path, "span"), load_margin_model(MODELS / "span.yaml")
    assert here == there == parse_model(there.model_dump(mode="json", exclude_none=True))
    assert hash(Origin("a.yaml", {"": 1})) == hash(Origin())
    again = deepcopy(here)
    assert again == here
    assert again.located(InputError("wrong", field="value_unit.quantum")).file == "other.yaml"
    assert here.model_copy(update={"strict": True}).located(InputError("wrong")).file == "other.yaml"
