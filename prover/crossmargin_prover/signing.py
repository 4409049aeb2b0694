"""Sign receipts: ECDSA on secp256k1 over the receipt's tagged hash, so that a complaint with a receipt proves something.

The signature is r || s (64 bytes) with s in the lower half; the nonce is deterministic (RFC 6979, by py_ecc).
"""

import secrets
from dataclasses import dataclass, field

from py_ecc.secp256k1.secp256k1 import ecdsa_raw_sign, privtopub

from crossmargin_prover.randomness import KEY_BYTES
from crossmargin_verifier.field import ORDER
from crossmargin_verifier.group import encode_point
from crossmargin_verifier.signature import receipt_digest

__all__ = ["SigningKey"]


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
