"""Write the transcript inventory: every absorb and every challenge of the two small books, label and order.

Run in this folder: python inventory.py > transcript.txt
"""

import sys

from protocol_vectors import load, verify

from crossmargin_verifier.protocol.transcript import Transcript


class Recorder:
    """Writes a line for every use of a transcript, under the kind of the transcript."""

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
    recorder = Recorder()
    recorder.install()
    for name in ("tiny", "tiny_one"):
        recorder.lines.append(f"# the book `{name}` of protocol2.json")
        verify(load(name))
    sys.stdout.write("\n".join(recorder.lines) + "\n")


if __name__ == "__main__":
    main()
