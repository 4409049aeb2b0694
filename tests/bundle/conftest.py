"""One proven bundle of the small example book, made by the command line as a venue would."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossmargin_prover.cli import main

SMALL = Path(__file__).parents[2] / "examples" / "small"


@dataclass(frozen=True)
class Venue:
    """Folders of one run."""

    vault: Path
    bundle: Path
    receipts: Path

    @property
    def files(self) -> list[str]:
        """Every file of the bundle, relative."""
        return sorted(str(path.relative_to(self.bundle)) for path in self.bundle.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Venue:
    """Run the whole way once; packing 0 keeps the openings short."""
    root = tmp_path_factory.mktemp("venue")
    made = Venue(root / "vault", root / "bundle", root / "receipts")
    result = CliRunner().invoke(
        main,
        [
            *("run", "--book", str(SMALL), "--vault", str(made.vault), "--bundle", str(made.bundle)),
            *("--receipts", str(made.receipts), "--packing", "0", "--processes", "1"),
        ],
    )
    assert result.exit_code == 0, result.output
    return made


@pytest.fixture
def bundle(venue: Venue, tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the bundle that a test may change."""
    copy = tmp_path / "bundle"
    shutil.copytree(venue.bundle, copy)
    yield copy
