"""Strict ECDSA against py_ecc's signer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ecc.secp256k1 import secp256k1 as reference

from crossmargin_verifier.bundle.signature import receipt_digest, verify_signature
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import BASE_POINT, PRIME, encode_point, msm

SECRET = 0x1F2E3D4C5B6A79881122334455667788
KEY = encode_point(msm([SECRET], [BASE_POINT]))
DIGEST = receipt_digest(b"receipt file")


def sign(digest: bytes, secret: int = SECRET) -> tuple[int, int]:
    _, r, s = reference.ecdsa_raw_sign(digest, secret.to_bytes(32, "big"))
    return int(r), min(int(s), ORDER - int(s))


def encode(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


R, S = sign(DIGEST)


@given(st.binary(min_size=32, max_size=32), st.integers(1, ORDER - 1))
def test_honest_signatures(digest: bytes, secret: int) -> None:
    key = encode_point(msm([secret], [BASE_POINT]))
    verify_signature(key, digest, encode(*sign(digest, secret)))


@pytest.mark.parametrize(
    ("r", "s"),
    [(R, S + 1), (R, S - 1), (R + 1, S), (S, R if R <= ORDER // 2 else ORDER - R), (1, 1), (R, 1)],
)
def test_other_signatures_are_rejected(r: int, s: int) -> None:
    with pytest.raises(RejectedError, match="signature"):
        verify_signature(KEY, DIGEST, encode(r, s))


def test_other_key_or_digest_is_rejected() -> None:
    with pytest.raises(RejectedError):
        verify_signature(encode_point(msm([SECRET + 1], [BASE_POINT])), DIGEST, encode(R, S))
    with pytest.raises(RejectedError):
        verify_signature(bytes([KEY[0] ^ 1]) + KEY[1:], DIGEST, encode(R, S))
    with pytest.raises(RejectedError):
        verify_signature(KEY, receipt_digest(b"receipt filf"), encode(R, S))


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (encode(R, ORDER - S), "upper half"),
        (encode(R, ORDER // 2 + 1), "upper half"),
        (encode(0, S), "zero"),
        (encode(R, 0), "zero"),
        (encode(ORDER, S), "order"),
        (encode(R, ORDER), "order"),
        (encode(R, 2**256 - 1), "order"),
        (encode(R, S)[:-1], "63 bytes"),
        (encode(R, S) + b"\x00", "65 bytes"),
        (b"", "0 bytes"),
    ],
)
def test_malformed_signatures(signature: bytes, reason: str) -> None:
    """Among them the mirrored signature (r, order - s), which holds in lenient verifiers."""
    with pytest.raises(MalformedError, match=reason):
        verify_signature(KEY, DIGEST, signature)


@pytest.mark.parametrize("key", [b"", KEY[:-1], bytes(33), b"\x04" + KEY[1:], b"\x02" + PRIME.to_bytes(32, "big")])
def test_malformed_keys(key: bytes) -> None:
    with pytest.raises(MalformedError):
        verify_signature(key, DIGEST, encode(R, S))


@pytest.mark.parametrize("digest", [b"", DIGEST[:-1], DIGEST + b"\x00"])
def test_digest_has_32_bytes(digest: bytes) -> None:
    with pytest.raises(MalformedError, match="digest"):
        verify_signature(KEY, digest, encode(R, S))


def test_sum_at_infinity_is_rejected() -> None:
    """Key and digest chosen so that u_1 G + u_2 Q is the identity: digest + r secret = 0."""
    digest = (-R * SECRET % ORDER).to_bytes(32, "big")
    with pytest.raises(RejectedError):
        verify_signature(KEY, digest, encode(R, S))
