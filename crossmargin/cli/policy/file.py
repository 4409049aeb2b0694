"""Reading a policy file for a command, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossmargin.errors import InputErrors
from crossmargin_circuits.errors import LimitError, MalformedError, PolicyError
from crossmargin_circuits.policy import Policy

__all__ = ["located", "read_policy"]


def read_policy(file: Path) -> Policy:
    """Return the policy in a file.

    Raises:
        PolicyError: the file is not a policy.
    """
    with located(file):
        return Policy.decode(file.read_bytes())


@contextmanager
def located(file: Path) -> Iterator[None]:
    """Name the file in every error about its policy."""
    try:
        yield
    except InputErrors as errors:
        raise InputErrors([each.at(file=file.name) for each in errors.problems], errors.count) from None
    except (LimitError, MalformedError, PolicyError) as error:
        raise PolicyError(f"{file.name}: {error}") from None
