"""File systems of a campaign's own, where the machine allows mounting."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@contextmanager
def mounted(target: Path, *options: object) -> Iterator[Path]:
    """Mount something for the time of the block; the test is skipped where that is not allowed."""
    target.mkdir(exist_ok=True)
    done = _run("mount", *options, target)
    if done.returncode:
        pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")
    try:
        yield target
    finally:
        _run("umount", "--lazy", target)


def resize(target: Path, size: int) -> bool:
    """Change the size of a mounted tmpfs, in KiB; returns whether what is there leaves that size possible."""
    return not _run("mount", "-o", f"remount,size={size}k", target).returncode


def make_image(image: Path, kind: str, size: int) -> None:
    """Make an image with an empty file system; size in MiB; skip where there is no such program."""
    program = shutil.which(f"mkfs.{kind}", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    with image.open("wb") as stream:
        stream.truncate(size << 20)
    assert not _run(program, "-q", image).returncode
