"""Signatures of receipts: strict ECDSA on secp256k1 (SPEC B.4).

The signature is r || s, 64 bytes, with s in the lower half of the group order, so that a signature has one encoding;
the key is SEC1 compressed.
"""

from crossmargin_circuits.digest import DIGEST_BYTES, tagged_hash
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER, SCALAR_BYTES, decode_scalar
from crossmargin_verifier.protocol.group import BASE_POINT, decode_point, msm

__all__ = ["SIGNATURE_BYTES", "receipt_digest", "verify_signature"]

SIGNATURE_BYTES = 2 * SCALAR_BYTES


def receipt_digest(receipt_file: bytes) -> bytes:
    """Return the digest that a venue signs for a receipt: H_receipt of the file."""
    return tagged_hash("receipt", receipt_file)


def verify_signature(public_key: bytes, digest: bytes, signature: bytes) -> None:
    """Verify an ECDSA signature of a 32-byte digest.

    public_key: SEC1 compressed, 33 bytes; signature: r || s.

    Raises:
        MalformedError: wrong length, key not a point, r or s not in 1 .. order - 1, or s in the upper half.
        RejectedError: "signature", the signature is not that of the key and the digest.
    """
    if len(digest) != DIGEST_BYTES:
        raise MalformedError(f"signature: digest of {len(digest)} bytes: must be {DIGEST_BYTES}")
    if len(signature) != SIGNATURE_BYTES:
        raise MalformedError(f"signature of {len(signature)} bytes: must be {SIGNATURE_BYTES}")
    key = decode_point(public_key)
    r = decode_scalar(signature[:SCALAR_BYTES])
    s = decode_scalar(signature[SCALAR_BYTES:])
    if not r or not s:
        raise MalformedError("signature: r or s is zero")
    if s > ORDER // 2:
        raise MalformedError("signature: s in the upper half")
    inverse = pow(s, -1, ORDER)
    message = int.from_bytes(digest, "big")
    point = msm([message * inverse, r * inverse], [BASE_POINT, key])
    if point is None or point[0] % ORDER != r:
        raise RejectedError("signature", "not the signature of this key on these bytes")
