"""Check that every relative link of the project's Markdown texts leads to a file, and every #fragment to a heading."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("docs", "examples", "spec", "tools", "benchmarks", "tests", "prover", "crossmargin", "circuits", "verifier")

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^\s*(```|~~~)")
CODE = re.compile(r"`[^`]*`")


def texts() -> list[Path]:
    """Return the Markdown files of the project, in order."""
    found = list(ROOT.glob("*.md"))
    for folder in FOLDERS:
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def prose(text: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line) outside fenced blocks."""
    fenced = False
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(text: Path) -> set[str]:
    """Return the fragments that a renderer gives the headings of a text: lower case, hyphens, numbered repeats."""
    found: dict[str, int] = {}
    names = set()
    for _, line in prose(text):
        heading = HEADING.match(line)
        if heading is None:
            continue
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeats = found.get(slug, 0)
        found[slug] = repeats + 1
        names.add(f"{slug}-{repeats}" if repeats else slug)
    return names


def broken_links(text: Path) -> Iterator[str]:
    """Yield one message for each relative link of a text that leads nowhere."""
    for number, line in prose(text):
        for target in LINK.findall(CODE.sub("``", line)):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, fragment = target.partition("#")
            goal = (text.parent / path).resolve() if path else text
            where = f"{text.relative_to(ROOT)}:{number}"
            if not goal.exists():
                yield f"{where}: no such file: {target}"
            elif fragment and goal.suffix == ".md" and fragment not in anchors(goal):
                yield f"{where}: no such heading: {target}"


def main() -> int:
    """Print the broken links; return 1 if there is one."""
    found = texts()
    messages = [message for text in found for message in broken_links(text)]
    for message in messages:
        print(message)
    print(f"links of {len(found)} texts: {f'{len(messages)} broken' if messages else 'all resolve'}")
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main())
