"""An explanation adds up: values less haircuts to equity, losses to the requirement."""

import numpy as np
import pytest

from crossmargin.book.book import Book, Entries
from crossmargin.engine.explain import explain
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import MarginModel, build_policy
from crossmargin_circuits.compile import compile_policy


def two_sided_book(catalogue: Catalogue) -> Book:
    """Return one account with a long and a short sub-account, and one with a single wallet."""
    layout = catalogue.layout()
    long = {0: 10**12, 1: 10**8, 5: 4000, 9: 12}
    short = {0: 10**12, 5: -3900, 7: 7000, 10: -5}
    single = {0: 5 * 10**9, 6: 25}
    rows = [(row, column, value) for row, cells in enumerate((long, short, single)) for column, value in cells.items()]
    entries = Entries(*(np.array(part, dtype=np.int64) for part in zip(*rows, strict=True)))
    assert len(layout) > 10
    return Book.from_entries(layout, ["a", "b"], ["long", "short", ""], np.array([0, 0, 1]), entries)


@pytest.mark.parametrize("account", ["a", "b"])
def test_parts_add_up(account: str, catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    compiled = compile_policy(build_policy("test", MarketEnvironment(catalogue, market), model, "maintenance"))
    shown = explain(compiled, two_sided_book(catalogue), account)
    assert sum(part.value for part in shown.parts) - shown.haircut == shown.equity
    assert sum(part.equity for part in shown.parts) == shown.equity
    assert sum(part.requirement for part in shown.parts) == shown.requirement
    assert all(part.column is not None for part in shown.parts)
    assert sum(part.amount for part in shown.components) == shown.requirement
    assert shown.requirement > 0
    assert shown.haircut >= 0
    assert any("requirement covers the loss" in row for row in shown.binding)


def test_pooling_saves_the_offset(catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    compiled = compile_policy(build_policy("test", MarketEnvironment(catalogue, market), model, "maintenance"))
    book = two_sided_book(catalogue)
    pooled = explain(compiled, book, "a")
    assert [each.name for each in pooled.sub_accounts] == ["long", "short"]
    assert pooled.pooling_saves > pooled.requirement
    single = explain(compiled, book, "b")
    assert single.pooling_saves == 0
    assert single.sub_accounts[0].equity == single.equity
