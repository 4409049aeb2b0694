"""The examples in docs/formats.md are one book folder that loads."""

import re
from pathlib import Path

from crossmargin.loading import load_folder
from crossmargin.loading.control import read_control

ROOT = Path(__file__).parents[2]
FILES = ("venue.yaml", "instruments.yaml", "market.yaml", "model.yaml", "reserves.yaml")


def test_documented_examples_load(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == len(FILES)
    for name, block in zip(FILES, blocks, strict=True):
        (tmp_path / name).write_text(block, encoding="utf-8")
    tables = re.findall(r"```text\n(account,.*?)```", text, re.DOTALL)[0].split("\n\n")
    for name, table in zip(("accounts", "balances", "positions"), tables, strict=True):
        (tmp_path / f"{name}.csv").write_text(table.rstrip("\n") + "\n", encoding="utf-8")
    inputs = load_folder(tmp_path)
    assert inputs.snapshot_id == "example-exchange/cross-margin/2025-03-28T08:00:00Z"
    assert inputs.book.accounts == ("ann",)
    # 50,000 USDC, -0.5 BTC, the entry of the short linear position, -1500 lots, no inverse position, 3 lots of options.
    assert inputs.book.record("ann") == [50_000_000_000, -50_000_000, 126_150_750_000, 0, -1500, 0, 3]


def test_documented_control_file_is_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```text\n(\{\n.*?)```", text, re.DOTALL)
    (tmp_path / "control.json").write_text(block, encoding="utf-8")
    content = read_control(tmp_path / "control.json").content
    assert content.files["balances.csv"].rows == 9
    assert content.totals.balances is not None
