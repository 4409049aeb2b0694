"""A book folder: one source of a book, with a file for each part of the parameters and for each table.

Each stage collects all its problems before it refuses: first the files against `control.json`, where the folder has
one, then the parameters, then the tables, whose meaning depends on the parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from crossmargin.book.book import Book
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.binance import BINANCE_FOLDER, binance_files, load_binance
from crossmargin.loading.control import CONTROL_FILE, Control, check_files, read_control, state_files
from crossmargin.loading.csv import CsvTable
from crossmargin.loading.deposits import DEPOSIT_COLUMNS
from crossmargin.loading.history import load_history
from crossmargin.loading.ledger import DEPOSITS, OPTIONAL_COLUMNS, TABLES, read_book
from crossmargin.loading.parameters import Parameters, Part, Venue, fit_model, parameters_of
from crossmargin.loading.parquet import ParquetTable
from crossmargin.loading.problems import OnBad
from crossmargin.loading.source import TableSource
from crossmargin.loading.yaml import Document, fit, read_yaml
from crossmargin.market.crowding import Crowding
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.reserves import Reserves
from crossmargin.models.base import MarginModel

__all__ = ["FolderSource", "load_margin_model", "write_control"]

PARAMETER_FILES = ("venue.yaml", "instruments.yaml", "market.yaml", "model.yaml", "reserves.yaml")
"""Files of the parameters that every folder has."""

HISTORY_FILE = "history.csv"
"""Closing prices, for models that read them."""

CROWDING_FILE = "crowding.yaml"
"""Disclosed totals of an earlier statement, for models that read them."""

_TABLE_KINDS: Mapping[str, Callable[[Path, tuple[str, ...], tuple[str, ...]], TableSource]] = {
    ".csv": CsvTable,
    ".parquet": ParquetTable,
}

Model = TypeVar("Model", bound=BaseModel)


class FolderSource:
    """The book in a folder."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Keep the path; read nothing yet."""
        self.path = Path(path)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def control(self) -> Control | None:
        """The control file of the folder, or None where it has none.

        Raises:
            InputErrors: it is not in its format.
        """
        file = self.path / CONTROL_FILE
        return read_control(file) if file.exists() else None

    def check(self, only: Sequence[str] | None = None) -> Control | None:
        """Compare files with the control file, if there is one, and return it; only: names of files, all by default.

        Raises:
            InputErrors: every file that differs from the stated one, or is not stated.
        """
        control = self.control
        if control is not None:
            check_files(self.path, control, self.table_files() if only is None else (), only)
        return control

    def parameters(self) -> Parameters:
        """Return the parameters, with every file checked alone and against the others.

        Raises:
            InputErrors: all problems found.
        """
        if not self.path.is_dir():
            hint = "name a folder with the files of docs/formats.md"
            raise InputErrors([InputError("no such folder", hint=hint, file=str(self.path))])
        self.check(only=(*PARAMETER_FILES, HISTORY_FILE, CROWDING_FILE))
        problems: list[InputError] = []
        parts = (
            self._part("venue.yaml", _reader(Venue), problems),
            self._part("instruments.yaml", _reader(Catalogue), problems),
            self._part("market.yaml", _reader(Market), problems),
            self._part("model.yaml", fit_model, problems),
            self._part("reserves.yaml", _reader(Reserves), problems),
        )
        history = load_history(self.path / HISTORY_FILE, problems)
        has_crowding = (self.path / CROWDING_FILE).exists()
        crowding = self._part(CROWDING_FILE, _reader(Crowding), problems) if has_crowding else None
        if problems or any(part is None for part in parts):
            raise InputErrors(problems)
        return parameters_of(*parts, history, crowding and crowding.value)  # type: ignore[arg-type]

    def tables(self) -> Mapping[str, TableSource]:
        """Return the tables by name, each a CSV or a Parquet file.

        Raises:
            InputErrors: tables without a file, or with two.
        """
        problems: list[InputError] = []
        found: dict[str, TableSource] = {}
        for name, columns in {**TABLES, DEPOSITS: DEPOSIT_COLUMNS}.items():
            files = [self.path / f"{name}{suffix}" for suffix in _TABLE_KINDS]
            there = [file for file in files if file.exists()]
            if len(there) > 1:
                reason = f"both {name}.csv and {name}.parquet"
                problems.append(InputError(reason, hint="remove one of them", file=f"{name}.csv"))
            elif there:
                found[name] = _TABLE_KINDS[there[0].suffix](there[0], tuple(columns), OPTIONAL_COLUMNS.get(name, ()))
            elif name in TABLES:
                hint = f"add {name}.csv or {name}.parquet"
                problems.append(InputError("file not found", hint=hint, file=f"{name}.csv"))
        if problems:
            raise InputErrors(problems)
        return found

    def book(self, catalogue: Catalogue, on_bad: OnBad = "refuse", control: Control | None = None) -> Book:
        """Return the book of the tables, or of the files in the folder `binance`; control: the totals to compare with.

        Raises:
            InputErrors: all problems found.
        """
        check = None if control is None else control.check_records(catalogue)
        binance = self.path / BINANCE_FOLDER
        if not binance.is_dir():
            return read_book(self, catalogue, on_bad, check)
        tables = sorted(file.name for file in self.table_files() if file.parent == self.path)
        if tables:
            reason = f"a folder {BINANCE_FOLDER} beside {', '.join(tables)}"
            raise InputErrors([InputError(reason, hint="keep one or the other", file=BINANCE_FOLDER)])
        return load_binance(binance_files(binance), catalogue, on_bad, check)

    def table_files(self) -> list[Path]:
        """Return the files of the tables."""
        names = [f"{name}{suffix}" for name in (*TABLES, DEPOSITS) for suffix in _TABLE_KINDS]
        files = [self.path / name for name in names if (self.path / name).exists()]
        return files + sorted((self.path / BINANCE_FOLDER).glob("*.csv"))

    def _part(self, file: str, read: Callable[[Document], Model], problems: list[InputError]) -> Part[Model] | None:
        """Return a file of the parameters, or None where it is refused."""
        try:
            document = read_yaml(self.path / file)
            return Part(read(document), document)
        except InputErrors as errors:
            problems += errors.problems
        except InputError as error:
            problems.append(error)
        return None


def load_margin_model(path: str | PathLike[str]) -> MarginModel:
    """Return the margin model of one file, in the format of `model.yaml`.

    Raises:
        InputErrors: every field that does not fit.
    """
    try:
        return fit_model(read_yaml(Path(path)))
    except InputError as error:
        raise InputErrors([error]) from None


def write_control(
    folder: str | PathLike[str],
    balances: Mapping[str, Decimal] | None = None,
    positions: Mapping[str, Decimal] | None = None,
) -> Path:
    """Write the control file of a book folder that has none yet; return its path.

    balances, positions: totals by asset, and by instrument in contracts, from the exporter's own ledger; sums over the
    files would only repeat the files.

    Raises:
        InputErrors: there is a control file already, or a file cannot be read.
    """
    path = Path(folder)
    names = (*PARAMETER_FILES, HISTORY_FILE, CROWDING_FILE)
    files = [name for name in names if (path / name).exists()]
    files += [file.relative_to(path).as_posix() for file in FolderSource(path).table_files()]
    return state_files(path, files, balances, positions)


def _reader(kind: type[Model]) -> Callable[[Document], Model]:
    return lambda document: fit(document, kind)
