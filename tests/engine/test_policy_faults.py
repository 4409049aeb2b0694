"""What is wrong with a policy that cannot be computed again is said one line a fault, with file and field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin.cli.policy import policy as commands
from crossmargin.loading import Parameters
from crossmargin.models import build_policy
from crossmargin_circuits.encoding import dump_canonical

Edit = Callable[[dict[str, Any]], object]


def run(tmp_path: Path, parameters: Parameters, edit: Edit, command: str = "check") -> list[str]:
    honest = build_policy("test", parameters.environment, parameters.model, "maintenance")
    content = json.loads(honest.encoded)
    edit(content)
    path = tmp_path / "other.json"
    path.write_bytes(dump_canonical(content))
    result = CliRunner().invoke(commands, [command, str(path)])
    assert result.exit_code == 1
    assert "pydantic" not in result.output
    assert "Traceback" not in result.output
    return result.stderr.splitlines()


def test_an_honest_policy_is_computed_again(tmp_path: Path, parameters: Parameters) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(build_policy("test", parameters.environment, parameters.model, "maintenance").encoded)
    result = CliRunner().invoke(commands, ["check", str(path)])
    assert (result.exit_code, result.output[:7]) == (0, "equal: ")


def test_every_fault_of_the_inputs_has_a_line(tmp_path: Path, parameters: Parameters) -> None:
    def edit(content: dict[str, Any]) -> None:
        inputs = content["inputs"]
        inputs["market"]["index"]["BTC"]["price"] = "-1"
        inputs["market"]["index"]["SOL"] = "130"
        inputs["model"]["note"] = "x" * 10**5
        inputs["model"]["value_unit"]["currency"] = "EUR"
        del inputs["instruments"]["assets"][0]["unit"]

    head, *lines = run(tmp_path, parameters, edit)
    assert head == "refused: 5 problems in the input"
    assert [line.split(": ")[0].strip() for line in lines] == [
        "other.json, inputs.instruments.assets[0].unit",
        "other.json, inputs.market.index.BTC.price",
        "other.json, inputs.market.index.SOL",
        "other.json, inputs.model.value_unit.currency",
        "other.json, inputs.model.note",
    ]
    assert "not a mapping of fields" in lines[2]
    assert "not in the form ^USD$" in lines[3]
    assert all(len(line) < 200 for line in lines)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda content: content["inputs"]["model"].update(model="guess"), "other.json, inputs.model: not one of "),
        (lambda content: content["inputs"].update(model="guess"), "other.json, inputs.model: no model; write one of"),
        (lambda content: content["inputs"].pop("market"), "other.json, inputs.market: not a mapping of fields"),
        (lambda content: content["inputs"].update(statement="final"), "other.json: policy: inputs: not those of"),
        (lambda content: content["inputs"]["market"]["index"].pop("SOL"), "other.json, index.SOL: "),
    ],
)
def test_inputs_that_are_refused(tmp_path: Path, parameters: Parameters, edit: Edit, reason: str) -> None:
    lines = run(tmp_path, parameters, edit)
    assert reason in " ".join(lines)
    assert len(lines) <= 2


@pytest.mark.parametrize("command", ["check", "show"])
def test_what_is_no_policy_names_the_file(tmp_path: Path, parameters: Parameters, command: str) -> None:
    [line] = run(tmp_path, parameters, lambda content: content.pop("title"), command)
    assert line.startswith("refused: other.json: policy: ")
    [line] = run(tmp_path, parameters, lambda content: content["arrays"].pop(), command)
    assert line.startswith("refused: other.json: policy")


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["columns"][1].update(name="c" * 150_000),
        lambda content: content["definitions"][0].update(expression={"op": "reference", "name": "z" * 150_000}),
        lambda content: content["arrays"][0].update(name="n" * 150_000),
    ],
)
def test_long_names_are_shortened(tmp_path: Path, parameters: Parameters, command: str, edit: Edit) -> None:
    [line] = run(tmp_path, parameters, edit, command)
    assert line.startswith("refused: other.json: ")
    assert len(line) < 2200
