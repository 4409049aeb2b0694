"""`crossmargin policy show`: the model of a policy as formulas."""

from pathlib import Path

import click

from crossmargin.cli.output import console, plain, print_json, reporting, table
from crossmargin.cli.policy.amounts import amounts_of, in_words
from crossmargin.cli.policy.file import located, read_policy
from crossmargin_circuits.amounts import format_time
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.policy import Constraint, Definition

__all__ = ["show"]


@click.command(short_help="Print the model as formulas.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--arrays", is_flag=True, help="Also print every risk array.")
@click.option("--rows", is_flag=True, help="Also print the compiled rows, with the bits that each may need.")
@click.option("--json", "as_json", is_flag=True, help="Print formulas, digests and sizes as JSON.")
@reporting
def show(file: Path, arrays: bool, rows: bool, as_json: bool) -> None:
    """Print the model in FILE (policy.json) as formulas.

    \b
    Example:
      crossmargin policy show build/demo/bundle/statements/maintenance/policy.json
    """
    shown = read_policy(file)
    with located(file):
        compiled = compile_policy(shown)
    relation = compiled.relation
    if as_json:
        print_json(
            {
                "kind": str(shown.kind),
                "title": shown.title,
                "venue": shown.venue,
                "as_of": format_time(shown.as_of),
                "policy": shown.digest.hex(),
                "relation": relation.digest.hex(),
                "formulas": [str(each) for each in (*shown.definitions, *shown.constraints)],
                "roles": {each.name: str(each.role) for each in shown.definitions},
                "amounts": {name: list(map(str, amounts)) for name, amounts in amounts_of(shown).items()},
                "rows": [
                    {"row": row.label, "bits": bound.bit_length()}
                    for row, bound in zip(relation.rows, compiled.row_bounds, strict=True)
                ],
                "auxiliaries": [{"name": each.label, "disclosed": each.disclosed} for each in relation.auxiliaries],
            }
        )
        return
    out = console()
    unit = shown.value_unit
    out.print(f"[bold]{plain(shown.title)}[/bold] of {plain(shown.venue)}, prices of {format_time(shown.as_of)}")
    out.print(f"a policy of the kind {shown.kind}{', strict: no shortfall is allowed' if shown.is_strict else ''}")
    out.print(
        f"values in {unit.quantum} {plain(unit.currency)}; {len(shown.layout)} columns, {len(shown.arrays)} risk arrays"
    )
    out.print(f"compiles to {len(relation.rows)} rows and {len(relation.auxiliaries)} auxiliaries\n")
    formulas: list[Definition | Constraint] = [*shown.definitions, *shown.constraints]
    for each in formulas:
        role = f"{each.role}: " if isinstance(each, Definition) else "constraint: "
        out.print(f"  {plain(str(each))}")
        out.print(f"      {role}{plain(each.meaning)}")
        for line in in_words(shown, each):
            out.print(f"      {plain(line)}")
        out.print()
    out.print(f"policy digest    {shown.digest.hex()}\nrelation digest  {relation.digest.hex()}")
    if rows:
        listing = table("\nrows", ("row", False), ("bits", True))
        for row, bound in zip(relation.rows, compiled.row_bounds, strict=True):
            listing.add_row(plain(row.label), str(bound.bit_length()))
        out.print(listing)
    if arrays:
        for array in shown.arrays:
            listing = table(f"\n{plain(array.name)}: {plain(array.meaning)}", ("column", False), ("quanta", True))
            for column, coefficient in zip(shown.layout.columns, array.coefficients, strict=True):
                if coefficient:
                    listing.add_row(plain(f"{column.key}, per {column.unit}"), f"{coefficient:,}")
            out.print(listing)
