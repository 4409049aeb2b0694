"""Write docs/api: one page for every public module, with signature, docstring and errors of its public names.

A module is public where this file lists it, a name where the module's `__all__` has it. Signatures stand as the source
writes them, so that the pages do not depend on the version of Python.

    python -m tools.api_pages [--out docs/api]
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent

PUBLIC = {
    "crossmargin": "load a book and ask it for margin, scenarios, stress and liquidation prices",
    "crossmargin_prover": "commit, prove, publish and deliver",
    "crossmargin.loading": "sources of books: folders, databases, frames",
    "crossmargin.models.policy_builder": "what a margin model writes its requirement with",
    "crossmargin.market.valuation": "values of one unit of every column, now and in scenarios",
    "crossmargin.fields": "types of the parameters of a margin model",
    "crossmargin_verifier": "check a bundle or a receipt; nothing of the prover or the margin core",
    "crossmargin_circuits.expression": "the convex expressions that a requirement is made of",
}
"""Public modules, and what each is for."""


NOTE = "<!-- Made by tools/api_pages.py (make docs) from the docstrings; edit those. -->"


def public_names(module: ModuleType) -> list[str]:
    """Return the names in `__all__`, classes first, each group in order of the alphabet."""
    return sorted(module.__all__, key=lambda name: (not isinstance(getattr(module, name), type), name.lower(), name))


def page(name: str) -> str:
    """Return the page of a public module."""
    module = import_module(name)
    parts = [NOTE, f"# `{name}`", markdown(inspect.getdoc(module) or "")]
    for public in public_names(module):
        parts += described(module, public)
    return "\n\n".join(part for part in parts if part) + "\n"


def index() -> str:
    """Return the page that lists the others."""
    lines = [
        NOTE,
        "# Python interface",
        "What these pages name is public: it changes with a line in the changelog. All else may change at any time. "
        "Every example runs in the tests; [scripts and a notebook](../../examples/README.md) show how things fit.",
        "| module | for |\n|---|---|\n"
        + "\n".join(f"| [`{name}`]({name}.md) | {what} |" for name, what in PUBLIC.items()),
    ]
    return "\n\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return every page by the name of its file."""
    return {"README.md": index(), **{f"{name}.md": page(name) for name in PUBLIC}}


def described(module: ModuleType, name: str) -> Iterator[str]:
    """Yield the parts of one public name: heading, signature, text; of a class also its attributes and methods."""
    found = getattr(module, name)
    node, doc = definition(module, name)
    yield f"## `{name}`"
    if isinstance(node, ast.ClassDef):
        yield fenced(class_line(node, name))
        yield markdown(inspect.cleandoc(doc))
        yield from constructor(node)
        yield from members(node)
    elif isinstance(node, ast.FunctionDef):
        yield fenced(signature(node, name))
        yield markdown(inspect.cleandoc(doc))
    elif inspect.ismodule(found):
        yield markdown(inspect.getdoc(found) or "")
    else:
        yield fenced(unparsed(node))
        yield markdown(inspect.cleandoc(doc))


def definition(module: ModuleType, name: str) -> tuple[ast.stmt, str]:
    """Return the statement that defines a public name, and its docstring.

    Raises:
        LookupError: no statement that could be shown.
    """
    found = getattr(module, name)
    if inspect.ismodule(found):
        return ast.Pass(), ""
    own = isinstance(found, type) or inspect.isfunction(found)
    where = import_module(found.__module__) if own else module
    wanted = found.__name__ if own else name
    body = ast.parse(inspect.getsource(where)).body
    for number, node in enumerate(body):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == wanted:
                    return definition(import_module(node.module), alias.name)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == wanted:
            return node, ast.get_docstring(node) or ""
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == wanted for target in targets):
            after = body[number + 1] if number + 1 < len(body) else None
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return node, str(after.value.value)
            return node, ""
    raise LookupError(f"{module.__name__}.{name}: no definition is found in {where.__name__}")


def constructor(node: ast.ClassDef) -> Iterator[str]:
    """Yield how an object is made, where the class says so itself."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            yield fenced(signature(each, node.name).removesuffix(" -> None"))
            yield markdown(inspect.cleandoc(ast.get_docstring(each) or ""))


def members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the public attributes and methods of a class, in the order of the source."""
    attributes, methods = [], []
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id[0] != "_":
            attributes.append(f"- `{unparsed(each)}`")
        elif isinstance(each, ast.FunctionDef) and each.name[0] != "_":
            doc = inspect.cleandoc(ast.get_docstring(each) or "")
            kinds = {unparsed(decorator) for decorator in each.decorator_list}
            if kinds & {"property", "cached_property"}:
                returned = written(each.returns) if each.returns else ""
                attributes.append(f"- `{each.name}: {returned}`: {' '.join(doc.split())}")
            else:
                methods.append((each, doc))
    if attributes:
        yield "\n".join(attributes)
    for method, doc in methods:
        yield f"### `{node.name}.{method.name}`"
        yield fenced(signature(method, method.name))
        yield markdown(doc)


def class_line(node: ast.ClassDef, name: str) -> str:
    """Return "class Name(Base)"."""
    bases = ", ".join(unparsed(base) for base in node.bases)
    return f"class {name}({bases})" if bases else f"class {name}"


def signature(node: ast.FunctionDef, name: str) -> str:
    """Return "name(arguments) -> result" as the source writes it, without self, on several lines if it is long."""
    arguments = node.args
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg in ("self", "cls") and group[0].annotation is None:
            del group[0]
    returned = f" -> {written(node.returns)}" if node.returns else ""
    parts = list(split(arguments))
    line = f"{name}({', '.join(parts)}){returned}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returned}"])


def unparsed(node: ast.AST) -> str:
    """Return the source of a node, with double quotes."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def written(annotation: ast.expr) -> str:
    """Return an annotation, a quoted one without its quotes."""
    quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    return str(annotation.value) if quoted and isinstance(annotation, ast.Constant) else unparsed(annotation)


def split(arguments: ast.arguments) -> Iterator[str]:
    """Yield the arguments one by one."""
    ordered = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(ordered) - len(arguments.defaults))
    for each, default in zip(ordered, [*defaults, *arguments.defaults], strict=True):
        yield one(each, default)
    if arguments.vararg:
        yield f"*{one(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield one(each, default)
    if arguments.kwarg:
        yield f"**{one(arguments.kwarg, None)}"


def one(argument: ast.arg, default: ast.expr | None) -> str:
    """Return "name: kind = default"."""
    text = argument.arg + (f": {written(argument.annotation)}" if argument.annotation else "")
    sign = " = " if argument.annotation else "="
    return text if default is None else f"{text}{sign}{unparsed(default)}"


def fenced(code: str, language: str = "python") -> str:
    """Return a block of code."""
    return f"```{language}\n{code}\n```"


def markdown(doc: str) -> str:
    """Return a docstring as Markdown: examples fenced, `Raises:` in bold, indented formulas fenced."""
    parts = []
    for block in re.split(r"\n\s*\n", doc.strip("\n")):
        lines = block.split("\n")
        if block.lstrip().startswith(">>>"):
            parts.append(fenced(inspect.cleandoc(block), "pycon"))
        elif lines[0].strip() == "Raises:":
            parts.append(f"**Raises** {' '.join(line.strip() for line in lines[1:])}")
        elif all(line.startswith("    ") for line in lines):
            formula = inspect.cleandoc("\n" + block)
            if parts and parts[-1].startswith("```text"):
                formula = f"{parts.pop()[len('```text') + 1 : -len('```')]}\n{formula}"
            parts.append(fenced(formula, "text"))
        else:
            parts.append(block)
    return "\n\n".join(parts)


def main(arguments: list[str]) -> None:
    """Write the pages; remove pages of modules that are no longer public."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "api")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in sorted(out.glob("*.md")):
        if old.name not in made and old.read_text(encoding="utf-8").startswith(NOTE):
            old.unlink()
    for name, text in made.items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
