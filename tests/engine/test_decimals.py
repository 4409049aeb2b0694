"""The vectorised parser agrees with the exact one, row by row."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.loading.decimals import Status, parse_digits, to_units
from crossmargin.units import decimal_places, parse_decimal
from crossmargin.units import to_units as exactly
from crossmargin_circuits.layout import RECORD_BOUND

digits = st.text("0123456789", min_size=1, max_size=22)
sound = st.builds(lambda sign, whole, part: sign + whole + part, st.sampled_from(["", "-"]), digits,
                  st.one_of(st.just(""), digits.map(lambda text: "." + text)))  # fmt: skip
texts = st.one_of(sound, st.text("0123456789.-+eE naif,_", max_size=42))
units = st.builds(lambda m, e: Decimal(m).scaleb(-e), st.integers(1, 10**6), st.integers(0, 18))


def expected(text: str, unit: Decimal) -> int | Status:
    if not text:
        return Status.EMPTY
    if len(text) > 40:
        return Status.LONG
    try:
        value = parse_decimal(text)
    except InputError:
        return Status.MALFORMED
    try:
        count = exactly(value, unit)
    except InputError:
        return Status.FINE
    return count if abs(count) < RECORD_BOUND else Status.LARGE


@given(st.lists(st.tuples(texts, units), max_size=30))
@example([(str(RECORD_BOUND - 1), Decimal(1)), (str(RECORD_BOUND), Decimal(1)), ("-" + str(RECORD_BOUND), Decimal(1))])
@example([("0.000000000000000001", Decimal("1E-18")), ("9" * 40, Decimal("1E-18")), ("-0.0", Decimal(7))])
@example([("9223372036854775808", Decimal(2)), ("1.50000000000000000000", Decimal("0.1"))])
def test_agrees_with_exact_arithmetic(rows: list[tuple[str, Decimal]]) -> None:
    parts = [decimal_places(unit) for _, unit in rows]
    mantissa = np.array([m for m, _ in parts], dtype=np.int64)
    places = np.array([e for _, e in parts], dtype=np.int64)
    parsed = parse_digits(pl.Series("text", [text for text, _ in rows], dtype=pl.String))
    counts, status = to_units(parsed, mantissa, places)
    for (text, unit), count, state in zip(rows, counts, status, strict=True):
        want = expected(text, unit)
        if isinstance(want, Status):
            assert (int(count), Status(state)) == (0, want)
        else:
            assert (int(count), Status(state)) == (want, Status.OK)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_every_refusal_has_words(status: Status) -> None:
    assert status.reason
    assert status.hint
