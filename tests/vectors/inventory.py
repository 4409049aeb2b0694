"""Write the transcript inventory: every absorb and every challenge of the two small proofs, label and order.

Run in this folder: python inventory.py > transcript.txt
"""

import json
import sys
from pathlib import Path

from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.transcript import Transcript
from crossmargin_verifier.protocol.verify import verify_statement


class Recorder:
    """Writes a line for every use of a transcript."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def install(self) -> None:
        start, absorb, challenge, seed = (
            Transcript.__init__,
            Transcript.absorb,
            Transcript.challenge,
            Transcript.seed,
        )

        def recorded_start(transcript: Transcript, kind: str) -> None:
            self.lines.append(f"transcript {kind}")
            start(transcript, kind)

        def recorded_absorb(transcript: Transcript, label: str, data: bytes) -> None:
            self.lines.append(f"  absorb    {label:10} {len(data)} bytes")
            absorb(transcript, label, data)

        def recorded_challenge(transcript: Transcript, label: str) -> int:
            self.lines.append(f"  challenge {label}")
            return challenge(transcript, label)

        def recorded_seed(transcript: Transcript, label: str) -> bytes:
            self.lines.append(f"  seed      {label}")
            return seed(transcript, label)

        Transcript.__init__ = recorded_start  # type: ignore[method-assign,assignment]
        Transcript.absorb = recorded_absorb  # type: ignore[method-assign,assignment]
        Transcript.challenge = recorded_challenge  # type: ignore[method-assign,assignment]
        Transcript.seed = recorded_seed  # type: ignore[method-assign,assignment]


def main() -> None:
    vectors = json.loads((Path(__file__).parent / "protocol.json").read_text(encoding="utf-8"))
    recorder = Recorder()
    recorder.install()
    for name, title in (("tiny", "book mode"), ("tiny_bounded", "bounded mode")):
        recorder.lines.append(f"# {title}: the proof `{name}` of protocol.json")
        files = {file: bytes.fromhex(data) for file, data in vectors[name]["files"].items()}
        relation = Relation.decode(files["relation.cm1"], decode_columns(files["columns.cm1"]))
        verify_statement(StatementFiles(files), relation, bytes(32))
    sys.stdout.write("\n".join(recorder.lines) + "\n")


if __name__ == "__main__":
    main()
