"""Files of committed points, as they are published (SPEC section 6)."""

from crossmargin_circuits.encoding import Writer
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.manifests import POSITIONS_MAGIC, SLACK_MAGIC

__all__ = ["encode_positions", "encode_slack_rows"]


def encode_positions(points: bytes) -> bytes:
    """Return the bytes of `positions.cm2` from enc(X_i) in global order, 33 bytes each, one after the other."""
    return _encode_points(POSITIONS_MAGIC, points)


def encode_slack_rows(points: bytes) -> bytes:
    """Return the bytes of `slack.cm2` from enc(R_h) in global order, 33 bytes each, one after the other."""
    return _encode_points(SLACK_MAGIC, points)


def _encode_points(magic: bytes, points: bytes) -> bytes:
    if len(points) % POINT_BYTES:
        raise ValueError("points must be 33 bytes each")
    return Writer(magic).u64(len(points) // POINT_BYTES).raw(points).bytes()
