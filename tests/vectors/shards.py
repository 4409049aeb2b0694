"""Write the vectors of several shards: a book of five accounts in three shards of two, and two statements about it.

Accounts, relations and randomness are those of `tiny` in protocol2.json, with two accounts more. The last shard has an
empty leaf, and the statements pack different numbers of accounts into a slack row.

Run in this folder: python shards.py > shards.json
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SeededRandomness
from crossmargin_prover.snapshot import receipt_for
from crossmargin_prover.statement import GivenWitness, prove_statement

FOLDER = Path(__file__).parent
COLUMNS = ("usd", "btc", "perp")
PACKING = {"maintenance": 1, "coverage": 0}


def main() -> None:
    tiny = json.loads((FOLDER / "protocol2.json").read_text(encoding="utf-8"))["tiny"]
    seed = bytes.fromhex(tiny["seed"])
    # The accounts of `tiny`, and the first two once more under other names.
    order = [0, 1, 2, 0, 1]
    accounts = [
        {"id": f"user{number}@example.org", "x": tiny["accounts"][like]["x"]} for number, like in enumerate(order)
    ]
    backend = select_backend()
    snapshot = commit_snapshot(
        tiny["sid"],
        tiny["as_of"],
        COLUMNS,
        csr_array(np.array([account["x"] for account in accounts], dtype=np.int64)),
        [account["id"] for account in accounts],
        2,
        SeededRandomness(seed),
        backend,
    )
    files = {f"snapshot/{name}": data for name, data in snapshot.files.items()}
    values = {name: [tiny["values"][name][like] for like in order] for name in PACKING}
    for number, (name, packing) in enumerate(PACKING.items(), start=1):
        relation = Relation.decode(bytes.fromhex(tiny["files"][f"statements/{name}/relation.cm2"]), COLUMNS)
        table = np.array(values[name], dtype=np.uint64)
        witness = GivenWitness(table[:, len(relation.rows) :], table[:, : len(relation.rows)], snapshot.manifest)
        randomness = SeededRandomness(bytes([number]) + seed[1:])
        made = prove_statement(snapshot, relation, bytes(32), witness, randomness, backend, packing=packing)
        files |= {f"statements/{name}/{file}": data for file, data in made.items()}
    vector = {
        "suite": "crossmargin/2",
        "seed": seed.hex(),
        "N": 2,
        "n": 5,
        "S": 3,
        "gamma": PACKING,
        "accounts": accounts,
        "values": values,
        "snapshot_digest": snapshot.manifest.digest.hex(),
        "receipt4": receipt_for(snapshot, 4).hex(),
        "files": {name: files[name].hex() for name in sorted(files)},
    }
    sys.stdout.write(json.dumps(vector, indent=1) + "\n")


if __name__ == "__main__":
    main()
