"""Cut the power of a file system, without a flush, as soon as a command has ended: all that it reported is there.

The image below a mounted file system holds what has reached its disk. A copy of it, taken while the file system is
mounted, is what a power cut leaves, and mounting the copy replays the journal.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmargin.placement import stands_for
from crossmargin_verifier.bundle.check import check_bundle
from tests.campaigns.mounts import make_image, mounted
from tests.campaigns.runner import SMALL, Runner

pytestmark = pytest.mark.slow


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_temporary(name: str) -> bool:
    return any(stands_for(part) != part for part in Path(name).parts)


# A copy of an xfs has the identity of its original, which is mounted at the same time.
@pytest.mark.parametrize(("kind", "size", "options"), [("ext4", 32, "loop"), ("xfs", 320, "loop,nouuid")])
def test_what_is_reported_outlasts_a_power_cut(
    runner: Runner, tmp_path: Path, record: Callable[..., None], seconds: float, kind: str, size: int, options: str
) -> None:
    image, copy = tmp_path / "image", tmp_path / "copy"
    make_image(image, kind, size)
    cuts = compared = 0
    cut = False
    deadline = time.monotonic() + seconds
    with mounted(tmp_path / "disk", "-o", options, image) as place:
        while time.monotonic() < deadline:
            vault, bundle, receipts = place / "vault", place / "bundle", place / "receipts"
            given = ("--book", SMALL, "--vault", vault, "--processes", 1)
            publish = ("publish", *given, "--out", bundle, "--despite-claims")
            for arguments, folder in (
                (("commit", *given, "--shard", 4), vault),
                (("prove", *given, "--statement", "coverage", "--packing", 0), vault),
                (("prove", *given, "--statement", "coverage", "--packing", 0), vault),
                (publish, bundle),
                (publish, bundle),
                (("receipts", "--vault", vault, "--out", receipts), receipts),
            ):
                ended = runner.run(arguments)
                assert not ended.refusals, ended.printed
                (place / "careless").write_bytes(b"written without a flush")
                shutil.copyfile(image, copy)
                expected = files(folder)
                with mounted(tmp_path / "after", "-o", options, copy) as after:
                    found = files(after / folder.name)
                    lost = {name for name in expected if found.get(name) != expected[name]}
                    assert not lost, f"after {arguments[0]}: {lost}"
                    # What was removed may come back, under the temporary names that a sweep knows.
                    assert all(is_temporary(name) for name in found.keys() - expected.keys())
                    if folder == bundle:
                        check_bundle(after / bundle.name)
                    careless = after / "careless"
                    cut = cut or not careless.exists() or not careless.read_bytes()
                (place / "careless").unlink()
                cuts += 1
                compared += len(expected)
            for path in place.iterdir():
                if path.name != "lost+found":
                    shutil.rmtree(path)
    record(kind=kind, cuts=cuts, files_compared=compared, careless_file_lost=cut)
    assert cut, "the cut loses nothing at all, so that this shows nothing"
