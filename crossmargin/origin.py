"""Where a value was read: the file, and the line of each of its fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossmargin.errors import InputError

__all__ = ["Origin"]


@dataclass(frozen=True)
class Origin:
    """A file and its lines: "assets[2].unit" -> line, "" the first. Empty for a value from no file.

    All origins compare equal, so that a value does not depend on where it was read.
    """

    file: str = field(default="", compare=False)
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    def line(self, name: str) -> int | None:
        """Return the line of a field, or of the nearest field that contains it."""
        while name and name not in self.lines:
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        return self.lines.get(name)

    def located(self, problem: InputError) -> InputError:
        """Return a problem with the file and line of its field; one that already names a file is left unchanged."""
        return problem if problem.file else problem.at(file=self.file, line=self.line(problem.field))
