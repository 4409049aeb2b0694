"""Deficits are borne to the last unit: conservation, proportion and caps on random books, and the published formula."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.liquidation.waterfall import allocate, deleverage, haircut_factor, paid_out, run_waterfall

VECTORS = Path(__file__).parents[1] / "vectors" / "liquidation_paradex.json"

amounts = st.integers(-(2**61), 2**61) | st.integers(-100, 100)


@given(equity=st.lists(amounts, min_size=1, max_size=12), fund=st.integers(0, 2**62) | st.integers(0, 100))
def test_every_unit_is_borne(equity: list[int], fund: int) -> None:
    result = run_waterfall(np.array(equity, dtype=np.int64), fund)
    deficits, claims = sum(-e for e in equity if e < 0), sum(e for e in equity if e > 0)
    socialised, after = result.socialised.tolist(), result.equity.tolist()
    assert result.deficits == deficits
    assert result.fund_pays + sum(socialised) + result.uncovered == deficits
    assert result.fund == fund - result.fund_pays >= 0
    # A later source pays only where an earlier one is used up.
    assert not any(socialised) or result.fund == 0
    assert result.uncovered == max(0, deficits - fund - claims)
    for before, paid, left in zip(equity, socialised, after, strict=True):
        assert 0 <= paid <= max(before, 0)
        assert left == max(before, 0) - paid
        if claims and result.uncovered == 0:
            assert abs(paid - Fraction(result.bankruptcy * max(before, 0), claims)) < 1
    # Nothing comes from nowhere: what accounts and fund have, less what is not covered, was theirs before.
    assert sum(after) + result.fund - result.uncovered == sum(equity) + fund


@given(weights=st.lists(st.integers(0, 2**60) | st.integers(0, 5), min_size=1, max_size=10), data=st.data())
def test_allocation_is_fair_to_a_unit(weights: list[int], data: st.DataObject) -> None:
    whole = sum(weights)
    total = data.draw(st.integers(0, whole))
    if not whole:
        return
    shares = allocate(total, np.array(weights, dtype=np.int64)).tolist()
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(total * weight, whole)) < 1
        assert share <= weight
    # Of equal weights the lower row pays the odd unit.
    for (first, a), (second, b) in zip(
        zip(weights, shares, strict=True), list(zip(weights, shares, strict=True))[1:], strict=False
    ):
        if first == second:
            assert a >= b


def test_published_formula() -> None:
    case = json.loads(VECTORS.read_text(encoding="utf-8"))["socialised_loss"]
    factor = haircut_factor(case["exchange_bankruptcy"], case["total_exchange_usdc"])
    assert factor == Fraction(case["factor_of_formula"])
    assert paid_out(500, factor) == 400
    assert paid_out(7, Fraction(1, 4)) == 5
    assert haircut_factor(0, 0) == 0


def test_formula_is_the_pro_rata_loss() -> None:
    """Claims are T + B: everybody's factor is his share of the waterfall."""
    equity = np.array([3000, 2000, -1500], dtype=np.int64)
    result = run_waterfall(equity, 500)
    factor = haircut_factor(result.bankruptcy, 5000 - result.bankruptcy)
    assert [paid_out(each, factor) for each in (3000, 2000)] == result.equity.tolist()[:2]


@given(
    lots=st.integers(-(10**6), 10**6).filter(bool),
    positions=st.lists(st.integers(-(10**5), 10**5), min_size=1, max_size=10),
    seed=st.none() | st.integers(0, 2**32 - 1),
)
def test_deleveraging_conserves_lots(lots: int, positions: list[int], seed: int | None) -> None:
    score = None if seed is None else np.random.default_rng(seed).integers(0, 4, len(positions)).astype(float)
    changes = deleverage(lots, np.array(positions, dtype=np.int64), score).tolist()
    opposite = sum(abs(each) for each in positions if each * lots < 0)
    assert sum(changes) == (1 if lots > 0 else -1) * min(abs(lots), opposite)
    for before, change in zip(positions, changes, strict=True):
        after = before + change
        assert abs(after) <= abs(before)
        assert after * before >= 0
        assert change == 0 or before * lots < 0
    if score is not None:
        # Nobody is reduced while somebody before him in the queue has anything left.
        for one, (first, change) in enumerate(zip(positions, changes, strict=True)):
            for other, second in enumerate(positions):
                ahead = score[other] > score[one] or (score[other] == score[one] and other < one)
                if change and ahead and second * lots < 0:
                    assert second + changes[other] == 0, first


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [0, 0]), (1, [2, -1])])
def test_allocations_that_are_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"negative|nobody"):
        allocate(total, np.array(weights, dtype=np.int64))
