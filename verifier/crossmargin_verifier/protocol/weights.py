"""Weights of the batch: one delta_e for each equation between points (SPEC V9).

    seed = H_weights(32 fresh bytes of the operating system || digest of all files)
    delta_e = the first 128 bits of SHAKE-256(the tag of `weights` || seed || u64 e)

Soundness: for files of which some equation does not hold, sum_e delta_e (equation e) is the identity for a fraction of
at most 2^-128 of all weights. The seed covers the files, so their maker had to fix them first. If the fresh bytes are
unpredictable, a run accepts wrong files with probability at most 2^-128. If they are not, because the generator is
broken or watched, the maker must still try files against the hash, and h tries succeed with probability at most h
2^-128.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from itertools import count

from crossmargin_circuits.digest import DIGEST_BYTES, tag_prefix, tagged_hash

__all__ = ["WEIGHT_BITS", "WeightSource", "batch_weights", "files_digest"]

WEIGHT_BITS = 128
"""Bits of delta_e: a wrong batch is accepted with probability 2^-128."""

WeightSource = Callable[[], int]
"""Source of the delta_e in order: uniform in [0, 2^128), unknown to the prover until the files are fixed."""


def files_digest(files: Mapping[str, bytes]) -> bytes:
    """Return SHA-256 over names and bytes of all files, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode("utf-8"), files[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.digest()


def batch_weights(digest: bytes) -> WeightSource:
    """Return the source of the weights for files of this digest.

    Precondition: the caller has received every byte of them."""
    seed = tagged_hash("weights", secrets.token_bytes(DIGEST_BYTES) + digest)
    numbers = count()

    def draw() -> int:
        stream = hashlib.shake_256(tag_prefix("weights") + seed + next(numbers).to_bytes(8, "big"))
        return int.from_bytes(stream.digest(WEIGHT_BITS // 8), "big")

    return draw
