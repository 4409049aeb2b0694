"""`control.json`: the exporter's own account of a book folder, which reveals damage and lost rows.

A Parquet file with flipped bits inside a value is still readable, and a CSV file that lost lines looks complete. The
exporter therefore states the number of rows of each table, the total balance of each asset and the total position in
each instrument, all from its own ledger and not from the files. It also states the SHA-256 of every file as written.
The format is in docs/formats.md. A folder without the file loads unchecked.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from scipy.sparse import csr_array

from crossmargin.book.exact_sum import column_totals
from crossmargin.errors import InputError, InputErrors
from crossmargin.fields import ExactDecimal, Frozen, Name, WholeNumber, refuse
from crossmargin.loading.ledger import CheckRecords
from crossmargin.loading.parquet_pages import check_parquet
from crossmargin.loading.yaml import Document, fit, read_yaml
from crossmargin.market.instruments import Catalogue
from crossmargin.placement import write_file
from crossmargin.units import format_decimal
from crossmargin_circuits.layout import ColumnKind, RecordLayout

__all__ = ["CONTROL_FILE", "Control", "check_files", "read_control", "state_files"]

CONTROL_FILE = "control.json"

VERSION = 1
"""Version of the format of the control file."""

_READ_BYTES = 1 << 20
_EXPORT_AGAIN = "export the book again; nothing is committed from these files"


def _version(value: int) -> int:
    if value != VERSION:
        raise refuse(f"not version {VERSION}", f"write version: {VERSION} and follow its format")
    return value


def _file_name(value: str) -> str:
    parts = value.split("/")
    if value == CONTROL_FILE or len(parts) > 2 or any(not part or part.startswith(".") for part in parts):
        raise refuse("not a file of a book folder", "name a file in it, such as balances.csv")
    return value


class FileControl(Frozen):
    """One file: SHA-256 of its bytes, and the number of rows of a table."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    rows: WholeNumber | None = None


class LedgerTotals(Frozen):
    """Sums over all rows: amounts of the balances by asset, quantities of the positions by instrument."""

    balances: dict[Name, ExactDecimal] | None = None
    positions: dict[Name, ExactDecimal] | None = None


class ControlFile(Frozen):
    """The contents of `control.json`."""

    version: Annotated[WholeNumber, AfterValidator(_version)]
    files: dict[Annotated[str, AfterValidator(_file_name)], FileControl]
    totals: LedgerTotals = LedgerTotals()


@dataclass(frozen=True)
class Control:
    """A control file as read; digest: SHA-256 of its bytes, in hexadecimal."""

    content: ControlFile
    document: Document
    digest: str

    def check_records(self, catalogue: Catalogue) -> CheckRecords | None:
        """Return the check of the stated totals, or None where none are stated."""
        totals = self.content.totals
        if totals.balances is None and totals.positions is None:
            return None

        def check(records: csr_array, layout: RecordLayout) -> list[InputError]:
            found = column_totals(records)
            units = {asset.name: asset.unit for asset in catalogue.assets}
            lots = {instrument.name: instrument.lot for instrument in catalogue.instruments}
            return [
                *self._compared("balances", totals.balances, units, ColumnKind.BALANCE, found, layout),
                *self._compared("positions", totals.positions, lots, ColumnKind.POSITION, found, layout),
            ]

        return check

    def _compared(
        self,
        table: str,
        stated: Mapping[str, Decimal] | None,
        units: Mapping[str, Decimal],
        kind: ColumnKind,
        found: Sequence[int],
        layout: RecordLayout,
    ) -> list[InputError]:
        """Return the names with a total other than the stated one; a total not stated is zero."""
        if stated is None:
            return []
        reasons = {name: f"{name} is not in instruments.yaml" for name in stated if name not in units}
        for name, unit in units.items():
            if Fraction(stated.get(name, 0)) != found[layout.index(kind, name)] * Fraction(unit):
                words = "the total stated here" if name in stated else "zero, and no total is stated"
                reasons[name] = f"the {table} of {name} do not add up to {words}"
        return [
            InputError(reason, hint=_EXPORT_AGAIN, file=CONTROL_FILE, line=self.document.line(field), field=field)
            for name, reason in reasons.items()
            for field in (f"totals.{table}.{name}",)
        ]


def read_control(path: Path) -> Control:
    """Return the control file of a folder.

    Raises:
        InputErrors: it is not in its format.
    """
    try:
        document = read_yaml(path)
    except InputError as error:
        raise InputErrors([error]) from None
    return Control(fit(document, ControlFile), document, hashlib.sha256(path.read_bytes()).hexdigest())


def check_files(folder: Path, control: Control, tables: Sequence[Path], only: Sequence[str] | None = None) -> None:
    """Compare files with the control file; only: names to compare, all by default.

    tables: the files of the tables, which must all be stated.

    Raises:
        InputErrors: every file that is missing, not stated, or different.
    """
    stated = control.content.files
    problems = []
    for path in tables:
        name = path.relative_to(folder).as_posix()
        if name not in stated:
            hint = f"export the book again, or state the file in {CONTROL_FILE}"
            problems.append(InputError(f"not stated in {CONTROL_FILE}", hint=hint, file=name))
    for name, file in stated.items():
        if only is None or name in only:
            problems += _check_file(folder / name, name, file)
    if problems:
        raise InputErrors(problems)


def state_files(
    folder: Path,
    files: Sequence[str],
    balances: Mapping[str, Decimal] | None = None,
    positions: Mapping[str, Decimal] | None = None,
) -> Path:
    """Write the control file of a folder that has none yet; return its path.

    files: names of the files to state; balances, positions: totals to state.

    Raises:
        InputErrors: there is a control file already, or a file cannot be read.
    """
    path = folder / CONTROL_FILE
    entries = {}
    for name in files:
        digest, rows = _digest(folder / name, name)
        entries[name] = {"sha256": digest, **({} if rows is None else {"rows": rows})}
    totals = {
        table: {name: format_decimal(amount) for name, amount in stated.items()}
        for table, stated in (("balances", balances), ("positions", positions))
        if stated is not None
    }
    content = {"version": VERSION, "files": entries, **({"totals": totals} if totals else {})}
    if os.path.lexists(path):
        hint = "remove it if the files were meant to change"
        raise InputErrors([InputError("exists already", hint=hint, file=CONTROL_FILE)])
    # Whole or not at all: half a control file would refuse the book, and stand in the way of the whole one.
    write_file(path, json.dumps(content, indent=2).encode("utf-8") + b"\n", mode=None)
    return path


def _check_file(path: Path, name: str, stated: FileControl) -> list[InputError]:
    if not path.is_file():
        return [InputError(f"stated in {CONTROL_FILE}, but missing", hint=_EXPORT_AGAIN, file=name)]
    try:
        digest, rows = _digest(path, name)
    except InputErrors as errors:
        return list(errors.problems)
    problems = []
    if digest != stated.sha256:
        reason = f"SHA-256 {digest[:16]}... where {CONTROL_FILE} states {stated.sha256[:16]}..."
        problems.append(InputError(reason, hint=_EXPORT_AGAIN, file=name))
    if stated.rows is not None and rows != stated.rows:
        counted = "no table" if rows is None else f"{rows} rows"
        reason = f"{counted} where {CONTROL_FILE} states {stated.rows} rows"
        problems.append(InputError(reason, hint=_EXPORT_AGAIN, file=name))
    return problems


def _digest(path: Path, name: str) -> tuple[str, int | None]:
    """Return the SHA-256 of a file, and the number of rows of a table."""
    digest, lines = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while data := stream.read(_READ_BYTES):
                digest.update(data)
                lines += data.count(b"\n")
    except OSError as error:
        hint = "check the path and its rights"
        raise InputErrors([InputError(f"cannot be read: {error.strerror}", hint=hint, file=name)]) from None
    if path.suffix == ".csv":
        return digest.hexdigest(), max(lines - 1, 0)
    return digest.hexdigest(), check_parquet(path) if path.suffix == ".parquet" else None
