"""Sign receipts and bundles: ECDSA on secp256k1 over the tagged hash of a file, so that a complaint is evidence.

The signature is r || s (64 bytes) with s in the lower half; the nonce is deterministic (RFC 6979, by py_ecc). Each
signature is checked with the public key before it leaves this module.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from py_ecc.secp256k1.secp256k1 import ecdsa_raw_sign, privtopub

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.randomness import KEY_BYTES
from crossmargin_verifier.bundle.anchor import anchor_message
from crossmargin_verifier.bundle.signature import receipt_digest
from crossmargin_verifier.protocol.field import ORDER, SCALAR_BYTES
from crossmargin_verifier.protocol.group import BASE_POINT, Affine, decode_point, encode_point, lift_x, msm

__all__ = ["KeyFileError", "SignatureFailedError", "SigningKey", "check_signatures"]


WEIGHT_BITS = 128
"""Bits of the random weights of a batch: what is wrong passes with probability 2^-128."""


class KeyFileError(CrossmarginError):
    """A file that holds no signing key."""


class SignatureFailedError(CrossmarginError):
    """A fresh signature does not verify: the machine or its memory is faulty."""

    def __init__(self) -> None:
        """State the finding and its consequence."""
        super().__init__("a fresh signature does not verify and was not written: check the machine")


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
            KeyFileError: the file holds anything else; the error does not show the content.
        """
        try:
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except ValueError:
            raise KeyFileError(f"{path}: not a secret key of secp256k1: 32 bytes in hexadecimal expected") from None

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
        return self.sign_receipts([receipt_file])[0]

    def sign_anchor(self, anchor_file: bytes) -> bytes:
        """Return the signature of `anchor.json`, 64 bytes, which covers a whole bundle.

        Raises:
            SignatureFailedError: it is wrong.
        """
        return self._sign_all([anchor_message(anchor_file)])[0]

    def sign_receipts(self, receipt_files: Sequence[bytes]) -> list[bytes]:
        """Return the signatures of receipt files, each checked with the public key.

        Raises:
            SignatureFailedError: one of them is wrong; none is returned then.
        """
        return self._sign_all([receipt_digest(each) for each in receipt_files])

    def _sign_all(self, digests: Sequence[bytes]) -> list[bytes]:
        signatures = [self._sign(digest) for digest in digests]
        check_signatures(self.public, digests, signatures)
        return [r.to_bytes(SCALAR_BYTES, "big") + s.to_bytes(SCALAR_BYTES, "big") for _, r, s in signatures]

    def _sign(self, digest: bytes) -> tuple[int, int, int]:
        """Return the parity of y(R), r and s."""
        v, r, s = map(int, ecdsa_raw_sign(digest, self._secret))
        parity = (v - 27) & 1
        return (parity, r, s) if s <= ORDER // 2 else (1 - parity, r, ORDER - s)


def check_signatures(public: bytes, digests: Sequence[bytes], signatures: Sequence[tuple[int, int, int]]) -> None:
    """Check signatures (parity of y(R_i), r_i, s_i) of digests m_i under the key Q in one equation.

        sum_i w_i (s_i R_i - m_i G - r_i Q) = 0,   R_i the point with x = r_i and that parity

    with fresh random weights w_i of 128 bits: a wrong signature passes with probability 2^-128.

    Raises:
        SignatureFailedError: it does not hold.
    """
    weights = [secrets.randbits(WEIGHT_BITS) for _ in signatures]
    points: list[Affine] = []
    for parity, r, _ in signatures:
        point = lift_x(r, parity)
        if point is None:
            raise SignatureFailedError
        points.append(point)
    left = msm([weight * s % ORDER for weight, (_, _, s) in zip(weights, signatures, strict=True)], points)
    message = sum(weight * int.from_bytes(digest, "big") for weight, digest in zip(weights, digests, strict=True))
    key = sum(weight * r for weight, (_, r, _) in zip(weights, signatures, strict=True))
    if left != msm([message % ORDER, key % ORDER], [BASE_POINT, decode_point(public)]):
        raise SignatureFailedError
