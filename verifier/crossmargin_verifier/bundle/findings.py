"""What is a finding about files, and what is none: a folder that moved, a failed machine, a dead worker."""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from crossmargin_circuits.errors import CrossmarginError, LimitError, PolicyError
from crossmargin_verifier.bundle.folder import CannotCheckError, Folder
from crossmargin_verifier.kernel import KernelError
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError

__all__ = ["failures", "naming", "opened_folder"]


@contextmanager
def opened_folder(path: str | PathLike[str]) -> Iterator[Folder]:
    """Yield an open folder; if it changed during the check, no finding about it counts."""
    with Folder.open(Path(path)) as folder:
        try:
            yield folder
        except (CannotCheckError, KernelError):
            raise
        except CrossmarginError:
            if folder.changed():
                raise folder.mixture() from None
            raise


@contextmanager
def naming(statement: str) -> Iterator[None]:
    """Add the name of the statement to errors about it."""
    try:
        yield
    except RejectedError as error:
        raise RejectedError(error.step, error.reason, error.shard, statement) from None
    except (MalformedError, PolicyError) as error:
        raise type(error)(f"statement {statement}: {error}") from None


@contextmanager
def failures() -> Iterator[None]:
    """Separate failures of the machine from findings about a bundle."""
    try:
        yield
    except BrokenExecutor:
        raise CannotCheckError("a worker process ended early; perhaps memory ran out: try fewer processes") from None
    except LimitError as error:
        raise CannotCheckError(str(error)) from None
    except MemoryError:
        raise CannotCheckError("memory ran out: try fewer processes") from None
    except KernelError as error:
        raise CannotCheckError(str(error)) from None
