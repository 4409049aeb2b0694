"""docs/api is what `make docs` makes of the docstrings."""

from pathlib import Path

from tools import api_pages

ROOT = Path(__file__).resolve().parents[2]


def test_pages_are_those_of_the_docstrings() -> None:
    folder = ROOT / "docs" / "api"
    found = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    made = api_pages.pages()
    assert sorted(found) == sorted(made)
    for name, text in made.items():
        assert found[name] == text, f"{name}: run make docs"
