"""Prove the margin of a book, and check the proof the way an auditor and a holder do.

Run it from the root of the repository; it works in FOLDER, or in a temporary folder:

    python examples/prove_and_verify.py [FOLDER]
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import crossmargin as cm
from crossmargin_prover import Run, commit, deliver, prove, publish
from crossmargin_verifier import MalformedError, RejectedError, check_bundle, check_receipt

SMALL = Path(__file__).parent / "small"


def venue(folder: Path) -> None:
    """Commit, prove, publish and deliver: what a venue does for every snapshot. The vault stays private."""
    book = cm.load(SMALL)
    run = Run(log=print)
    commit(book, folder / "vault", run)
    prove(book, folder / "vault", ["maintenance", "coverage"], run)
    publish(book, folder / "vault", folder / "bundle", run=run)
    print(f"delivered {deliver(folder / 'vault', folder / 'receipts').receipts} receipts")


def auditor(folder: Path) -> None:
    """Check the public bundle, which names no account; then a copy of it in which one byte is another."""
    verdict = check_bundle(folder / "bundle")
    for claim in verdict.claims:
        print(f"{claim.result}  {claim.topic}: {claim.text}")
    print(verdict.outcome)
    changed = shutil.copytree(folder / "bundle", folder / "changed")
    proof = changed / "statements" / "maintenance" / "shard-000000.cm2"
    data = bytearray(proof.read_bytes())
    data[-1] ^= 1
    proof.write_bytes(data)
    try:
        check_bundle(changed)
    except (MalformedError, RejectedError) as error:
        print(f"the changed bundle: {error}")


def holder(folder: Path, account: str) -> None:
    """Check one private receipt against the public bundle."""
    receipts = folder / "receipts"
    name = json.loads((receipts / "index.json").read_text(encoding="utf-8"))["receipts"][account]
    checked = check_receipt(receipts / f"{name}.json", account, bundle=folder / "bundle")
    for each in checked.margins:
        print(f"{account}, {each.statement}: {dict(each.margin) or dict(each.claims)}")


def main() -> None:
    """Play all three parts."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else made)
        venue(folder)
        auditor(folder)
        holder(folder, "acct-a")


if __name__ == "__main__":
    main()
