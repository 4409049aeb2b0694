"""The protocol district of the verifier stays small enough to be read in an afternoon.

A line of code is a line that holds a token of the program. Docstrings and other strings that stand alone, comments,
blank lines, import statements and `__all__` do not count.
"""

import ast
import io
import tokenize
from pathlib import Path

LIMIT = 1_200

SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(source: str) -> int:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if text or names or isinstance(node, ast.Import | ast.ImportFrom):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_rule_of_counting() -> None:
    source = '"""Doc."""\n\nimport os\nfrom a import (\n    b,\n)\n\n__all__ = [\n    "x",\n]\n'
    source += '# why\nx = (\n    1\n)\n"""X."""\n'
    assert lines_of_code(source) == 3
    assert lines_of_code('def f():\n    """Doc,\n    two lines."""\n    return """a\n    b"""\n') == 3


def test_protocol_is_read_in_an_afternoon(packages: dict[str, Path]) -> None:
    files = sorted((packages["crossmargin_verifier"] / "protocol").rglob("*.py"))
    counts = {file.name: lines_of_code(file.read_text(encoding="utf-8")) for file in files}
    assert len(counts) > 15
    assert sum(counts.values()) <= LIMIT, counts
