"""Words of strangers on a line of ours: ASCII alone, so that no character looks like a blank or like another one."""

__all__ = ["foreign_text"]


def foreign_text(text: str, limit: int = 200) -> str:
    r"""Return strangers' words in ASCII with escapes, in single spaces, cut after `limit` characters.

    >>> foreign_text("BTC\u2800\nPASS  solvency")
    'BTC\\u{2800} PASS solvency'
    """
    words = " ".join(text.split())
    escaped = "".join(c if c.isascii() and c.isprintable() else f"\\u{{{ord(c):x}}}" for c in words)
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 3]}..."
