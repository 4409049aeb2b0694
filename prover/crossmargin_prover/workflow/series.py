"""A series: a folder with each bundle under its own name, and `latest`, a link that moves in one step.

Publishing never touches an earlier bundle of the series. A verifier that works while `latest` moves goes on reading the
bundle it opened.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from crossmargin.placement import ForeignNameError, stands_for, write_link
from crossmargin_prover.vault.names import LATEST
from crossmargin_prover.vault.vault import VaultError
from crossmargin_prover.workflow.order import Moment, check_replaces

__all__ = ["bundle_in_series", "check_series", "move_latest"]

DIGEST_DIGITS = 8
"""Hexadecimal digits of the snapshot digest in a name: they tell two snapshots of one second apart."""

_NAME = re.compile(rf"[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{{DIGEST_DIGITS}}}(?:-prices-[0-9]{{8}}T[0-9]{{6}}Z)?")


def bundle_in_series(series: Path, moment: Moment) -> Path:
    """Return the folder of a bundle: time of the snapshot, start of its digest, and time of the prices if another."""
    snapshot = moment.snapshot
    name = f"{_stamp(snapshot.as_of)}-{snapshot.digest.hex()[:DIGEST_DIGITS]}"
    return series / (name if moment.prices == snapshot.as_of else f"{name}-prices-{_stamp(moment.prices)}")


def check_series(series: Path, moment: Moment | None = None, *, older: bool = False) -> None:
    """Refuse to publish into anything but a folder in which `latest` is a link to an earlier bundle, or free.

    moment: what is to be published, which must not be older than the latest bundle; older: accept that it is.

    Raises:
        VaultError: `series` is no folder, or `latest` no link in it.
        ForeignNameError: `latest` is a link of others.
        OrderError: the latest bundle is later, or of another book.
    """
    latest = series / LATEST
    if series.exists() and not series.is_dir():
        raise VaultError(f"{series} is no folder: choose another name")
    if latest.exists() and not latest.is_symlink():
        raise VaultError(f"{latest} is no link: move it away, or choose another folder")
    _check_latest(latest)
    if moment is not None:
        check_replaces(latest, moment, older=older)


def move_latest(bundle: Path) -> None:
    """Have `latest` lead to a published bundle of the series.

    Raises:
        ForeignNameError: something else than a link to a bundle of the series has that name.
        OSError: the system makes no link here.
    """
    latest = bundle.parent / LATEST
    _check_latest(latest)
    write_link(latest, bundle.name)
    for path in bundle.parent.glob(f".{LATEST}.*"):
        # What a killed run left.
        if stands_for(path.name) == LATEST and path.is_symlink() and _leads_to_bundle(path):
            with suppress(OSError):
                path.unlink()


def _check_latest(latest: Path) -> None:
    """Refuse to move a link that others made.

    Raises:
        ForeignNameError: it leads elsewhere than to a bundle of the series.
    """
    if latest.is_symlink() and not _leads_to_bundle(latest):
        raise ForeignNameError(f"{latest} leads to no bundle of the series: move it away, or choose another folder")


def _leads_to_bundle(link: Path) -> bool:
    """Return whether a link leads to a name that this program gives bundles; links of others stay as they are."""
    return _NAME.fullmatch(str(link.readlink())) is not None


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
