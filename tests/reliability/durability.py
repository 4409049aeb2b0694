"""What a disk may have forgotten after a power cut, told from the system calls of a run.

A disk keeps a file's data only from its fsync on, and a name only from the fsync of its folder on. `Disk` replays calls
and asserts, in this order,

    data of a file, and all names and data inside a folder, before the rename that gives the final name
    the names that a rename or exchange changed, before anything of the earlier folder is removed
    every final name and its data, before success is reported
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crossmargin.placement import stands_for


@dataclass(frozen=True)
class Call:
    """A system call on absolute paths: create, write, sync, rename, exchange, mkdir, remove or report."""

    name: str
    path: Path = Path()
    target: Path = Path()


@dataclass
class Disk:
    """What has not reached the disk yet: files with data, and names by folder."""

    base: Path
    unsynced: set[Path] = field(default_factory=set)
    unnamed: dict[Path, set[str]] = field(default_factory=dict)
    made: set[Path] = field(default_factory=set)
    retired: set[Path] = field(default_factory=set)

    def replay(self, calls: Iterable[Call]) -> "Disk":
        for call in calls:
            if call.name == "report":
                self.check()
            elif call.path.is_relative_to(self.base):
                getattr(self, call.name)(call)
        return self

    def create(self, call: Call) -> None:
        self.made.add(call.path)
        self._name(call.path)

    def write(self, call: Call) -> None:
        self.unsynced.add(call.path)

    def sync(self, call: Call) -> None:
        self.unsynced.discard(call.path)
        self.unnamed.pop(call.path, None)

    def mkdir(self, call: Call) -> None:
        self.made.add(call.path)
        self._name(call.path)

    def rename(self, call: Call) -> None:
        self._check_below(call.path)
        self._move([(call.path, call.target)])
        if stands_for(call.target.name) != call.target.name:
            self.retired.add(call.target)

    def exchange(self, call: Call) -> None:
        self._check_below(call.path)
        self._move([(call.path, call.target), (call.target, call.path)])
        self.retired.add(call.path)

    def remove(self, call: Call) -> None:
        for folder in (call.path, *call.path.parents):
            if folder in self.retired:
                lost = self.unnamed.get(folder.parent, set())
                assert folder.name not in lost, f"{call.path} removed before its successor has the name on the disk"
        self.made.discard(call.path)
        self.unsynced.discard(call.path)
        self.unnamed.pop(call.path, None)
        self.unnamed.get(call.path.parent, set()).discard(call.path.name)

    def check(self) -> None:
        """Assert that all final names and their data are on the disk."""
        for path in sorted(self.made):
            parts = path.relative_to(self.base).parts
            if all(stands_for(part) == part for part in parts):
                assert path not in self.unsynced, f"data of {path} not on the disk when success is reported"
                names = self.unnamed.get(path.parent, set())
                assert path.name not in names, f"name of {path} not on the disk when success is reported"

    def check_all(self, *folders: Path) -> None:
        """Assert the same of every file that is there, and that each of them was written by recorded calls."""
        self.check()
        found = {path for folder in folders for path in (folder, *folder.rglob("*"))}
        assert found
        # The lock of a vault is an empty file, made by whichever run is first.
        missing = {path for path in found - self.made if path.name != "lock"}
        assert not missing, f"written past the recorded calls: {sorted(missing)}"

    def _name(self, path: Path) -> None:
        self.unnamed.setdefault(path.parent, set()).add(path.name)

    def _check_below(self, path: Path) -> None:
        dirty = [each for each in self.unsynced if each.is_relative_to(path)]
        assert not dirty, f"{dirty[0]} renamed before its data is on the disk"
        pending = [each for each, names in self.unnamed.items() if names and each.is_relative_to(path)]
        assert not pending, f"{pending[0]} renamed before its names are on the disk"

    def _move(self, moves: list[tuple[Path, Path]]) -> None:
        replaced = {target for _, target in moves} - {source for source, _ in moves}
        self.made -= {each for each in self.made if any(each.is_relative_to(gone) for gone in replaced)}

        def moved(path: Path) -> Path:
            for source, target in moves:
                if path.is_relative_to(source):
                    return target / path.relative_to(source)
            return path

        self.made = set(map(moved, self.made))
        self.unsynced = set(map(moved, self.unsynced))
        self.unnamed = {moved(folder): names for folder, names in self.unnamed.items()}
        self.retired = set(map(moved, self.retired))
        for source, target in moves:
            self.unnamed.get(source.parent, set()).discard(source.name)
            self._name(target)
            self.made.add(target)


class Recorder:
    """Records the calls of this process on files, by standing in for the functions of `os`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        self._paths: dict[int, Path] = {}
        for name in ("open", "close", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._standing_in(name, getattr(os, name)))
        from crossmargin import placement

        exchange = placement._exchange

        def exchanging(first: Path, second: Path) -> bool:
            done = exchange(first, second)
            if done:
                self.calls.append(Call("exchange", first, second))
            return done

        monkeypatch.setattr(placement, "_exchange", exchanging)

    def _standing_in(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **options: Any) -> Any:
            before = self._before(name, arguments, options)
            result = function(*arguments, **options)
            if name == "open":
                self._paths[result] = before[0].path
                before = before[1:]
            self.calls += before
            return result

        return recorded

    def _before(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> list[Call]:
        """Return the calls that the arguments stand for; of an open, the path first."""
        if name in ("close", "write", "fsync"):
            path = self._paths.get(arguments[0])
            if name == "close":
                self._paths.pop(arguments[0], None)
                return []
            return [] if path is None else [Call({"write": "write", "fsync": "sync"}[name], path)]
        if isinstance(arguments[0], int):
            return []
        parent = self._paths.get(options.get("dir_fd") or -1, Path.cwd())
        path = parent / os.fsdecode(arguments[0])
        if name == "open":
            fresh = arguments[1] & os.O_CREAT and not path.exists()
            return [Call("open", path), *([Call("create", path)] if fresh else [])]
        if name in ("rename", "replace"):
            return [Call("rename", path, Path.cwd() / os.fsdecode(arguments[1]))]
        return [Call("mkdir" if name == "mkdir" else "remove", path)]


_LINE = re.compile(r"(?P<process>\d+) +(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_UNFINISHED = re.compile(r"(?P<process>\d+) +(?P<text>.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(?P<process>\d+) +<\.\.\. \w+ resumed>(?P<text>.*)")
_QUOTED = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<name>(?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"(?P<number>\d+)<(?P<path>/[^>]*)>")

STRACE = (
    "strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-e",
    "trace=openat,write,fsync,syncfs,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir",
)  # fmt: skip


def traced(text: str, base: Path) -> list[Call]:
    """Read what strace wrote; a call counts from its end on. Writes to standard output report success."""
    calls: list[Call] = []
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if match := _UNFINISHED.match(line):
            begun[match["process"]] = match["text"]
            continue
        resumed = _RESUMED.match(line)
        whole = f"{resumed['process']} {begun.pop(resumed['process'])}{resumed['text']}" if resumed else line
        match = _LINE.match(whole)
        if match and int(match["result"]) >= 0:
            calls += _calls(match["call"], match["arguments"], base)
    return calls


def _calls(name: str, arguments: str, base: Path) -> list[Call]:
    if name in ("write", "fsync", "syncfs"):
        found = _DESCRIPTOR.match(arguments)
        if name == "write" and arguments.startswith("1<"):
            return [Call("report")]
        if found is None or not found["path"].startswith(str(base)):
            return []
        return [Call("write" if name == "write" else "sync", Path(found["path"]))]
    paths = [Path(match["folder"] or "/") / match["name"] for match in _QUOTED.finditer(arguments)]
    if not any(str(path).startswith(str(base)) for path in paths):
        return []
    if name == "openat":
        return [Call("create", paths[0])] if "O_CREAT" in arguments and "O_EXCL" in arguments else []
    if name.startswith("rename"):
        return [Call("exchange" if "RENAME_EXCHANGE" in arguments else "rename", paths[0], paths[1])]
    return [Call("mkdir" if name.startswith("mkdir") else "remove", paths[0])]
