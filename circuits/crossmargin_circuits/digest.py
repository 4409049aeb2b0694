"""Tagged SHA-256, SPEC S1: H_T(d) = SHA-256(u8(len t) || t || d) with t = ASCII "crossmargin/2/" || T."""

import hashlib

__all__ = ["DIGEST_BYTES", "PROTOCOL", "tag_prefix", "tagged_hash"]

PROTOCOL = "crossmargin/2"
"""Version of the protocol, apart from the version of the package."""

DIGEST_BYTES = 32


def tag_prefix(label: str) -> bytes:
    """Return u8(len t) || t for the label T, the prefix of every tagged hash."""
    tag = f"{PROTOCOL}/{label}".encode("ascii")
    return bytes([len(tag)]) + tag


def tagged_hash(label: str, data: bytes) -> bytes:
    """Return H_label(data), 32 bytes."""
    return hashlib.sha256(tag_prefix(label) + data).digest()
