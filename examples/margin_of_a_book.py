"""Load a book and ask it a risk desk's questions: margin, parts, trades, shocks, liquidation prices.

Run it from the root of the repository:

    python examples/margin_of_a_book.py
"""

import math
from pathlib import Path

import crossmargin as cm

EXAMPLES = Path(__file__).parent


def main() -> None:
    """Print some answers about the example book of 1,000 accounts."""
    book = cm.load(EXAMPLES / "book")
    print(book)
    print("statements with a requirement:", ", ".join(book.statements))

    margin = book.margin("maintenance")
    print(margin)
    print("under water:")
    print(margin.under_water.frame().select("account", "equity", "requirement", "shortfall"))

    account = margin.under_water.least(1).accounts[0]
    explanation = book.explain(account)
    print(explanation)
    print(explanation.frame())
    worst = book.scenarios(account).sort("pnl").head(3)
    print("worst scenarios:", ", ".join(f"{meaning}: {pnl:,.2f}" for _, meaning, pnl in worst.rows()))

    needed = math.ceil(-explanation.excess)
    print(book.what_if(account, {"BTC_USDC-PERPETUAL": -190}))
    print(book.what_if(account, {}, deposits={"USDC": needed + 1}))

    print(book.stress({"BTC": -0.3, "ETH": -0.4}, {"BTC": "0.5"}))
    for file in ("span.yaml", "cross_margin.yaml"):
        print(book.with_model(EXAMPLES / "models" / file).margin())

    print(book.liquidation_price(book.accounts[0], "BTC_USDC-PERPETUAL"))


if __name__ == "__main__":
    main()
