"""The project's prose is short: sentences of README and docs, without code, tables and formulas."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "adr").glob("*.md"),
        ROOT / "examples" / "README.md",
    ]
)
README_LINES = 120
MEAN_WORDS = 22
"""Words that a sentence of a text has on average at most; SPEC, which has formulas in its sentences, SPEC_WORDS."""
SPEC_WORDS = 22
LONGEST = 65
"""Words of the longest sentence."""


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs and list items, without fenced or indented code, tables, headings, links' targets."""
    fenced = False
    current: list[str] = []
    in_list = False
    for line in [*text.splitlines(), ""]:
        if re.match(r"^\s*(```|~~~)", line):
            fenced = not fenced
            continue
        item = re.match(r"^\s*([-*]|\d+\.)\s+", line)
        is_code = line.startswith("    ") and not in_list
        if fenced or not line.strip() or is_code or re.match(r"^\s*(\||#)", line) or item:
            if current:
                yield " ".join(current)
            current = []
            in_list = (in_list and bool(line.strip())) or bool(item)
            if item and not fenced:
                current = [line[item.end() :]]
            continue
        current.append(line.strip())


def sentences(paragraph: str) -> list[str]:
    """Split at full stops, question marks, colons and semicolons that end a clause that could stand alone."""
    plain = re.sub(r"`[^`]*`", "code", paragraph)
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    plain = re.sub(r"\b(e\.g|i\.e|cf|vs|etc)\.", r"\1", plain)
    return [
        part for part in re.split(r"(?<=[.!?])[)*_]*\s+(?=[A-Z*\"'(\d`])", plain) if re.search(r"[A-Za-z]{2}", part)
    ]


def words(sentence: str) -> int:
    return len(re.findall(r"[A-Za-z][A-Za-z'-]*", sentence))


def lengths(text: Path) -> list[tuple[int, str]]:
    found = [each for part in paragraphs(text.read_text(encoding="utf-8")) for each in sentences(part)]
    return [(words(each), each) for each in found if words(each)]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_are_short(text: Path) -> None:
    found = lengths(text)
    mean = sum(count for count, _ in found) / max(1, len(found))
    limit = SPEC_WORDS if text.name == "SPEC.md" else MEAN_WORDS
    assert mean < limit, f"{mean:.1f} words a sentence"
    count, longest = max(found, default=(0, ""))
    assert count <= LONGEST, longest


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_sentences_are_counted() -> None:
    text = (
        "A list:\n\n- first item, with `some code`. And a second sentence.\n- another\n\n    code here\n\n| a | b |\n"
    )
    assert [words(each) for part in paragraphs(text) for each in sentences(part)] == [2, 4, 4, 1]
