"""Sign receipts: ECDSA on secp256k1 over the tagged hash of the file, so that a complaint with a receipt is evidence.

The signature is r || s (64 bytes) with s in the lower half; the nonce is deterministic (RFC 6979, by py_ecc).
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from py_ecc.secp256k1.secp256k1 import ecdsa_raw_sign, privtopub

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.randomness import KEY_BYTES
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import encode_point
from crossmargin_verifier.protocol.signature import receipt_digest

__all__ = ["KeyFileError", "SigningKey"]


class KeyFileError(CrossmarginError):
    """A file that holds no signing key."""


@dataclass(frozen=True)
class SigningKey:
    """A secret scalar in [1, r), 32 bytes."""

    _secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check the range."""
        if len(self._secret) != KEY_BYTES or not 0 < int.from_bytes(self._secret, "big") < ORDER:
            raise ValueError("not a secret key of secp256k1")

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a fresh key."""
        return cls((1 + secrets.randbelow(ORDER - 1)).to_bytes(KEY_BYTES, "big"))

    @classmethod
    def read(cls, path: Path) -> "SigningKey":
        """Read a key file: 32 bytes in hexadecimal.

        Raises:
            KeyFileError: anything else; the content is not shown.
        """
        try:
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except ValueError:
            raise KeyFileError(f"{path}: not a secret key of secp256k1: 32 bytes in hexadecimal are needed") from None

    def secret_bytes(self) -> bytes:
        """Return the secret, for a private file."""
        return self._secret

    @property
    def public(self) -> bytes:
        """The public key, 33 bytes."""
        x, y = privtopub(self._secret)
        return encode_point((int(x), int(y)))

    def sign_receipt(self, receipt_file: bytes) -> bytes:
        """Return the signature of a receipt file, 64 bytes."""
        _, r, s = ecdsa_raw_sign(receipt_digest(receipt_file), self._secret)
        return int(r).to_bytes(32, "big") + min(int(s), ORDER - int(s)).to_bytes(32, "big")
