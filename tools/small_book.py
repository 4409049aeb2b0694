"""A book of five accounts, small enough to check by hand; the broken books and the edge cases are made from it.

acct-a and acct-b hold the two sides of a basis trade (acct-a in two sub-accounts), acct-c and acct-d the two sides of a
call, acct-c with borrowed USDC and acct-d under water, and acct-e holds nothing.
"""

__all__ = ["FILES"]

VENUE = """\
venue: example-exchange
book: small
"""

INSTRUMENTS = """\
assets:
  - {name: USDC, unit: "0.000001", haircut: "0", borrowable: true, limit: "100000000"}
  - {name: BTC, unit: "0.00000001", haircut: "0.05", borrowable: true, limit: "2000"}
  - {name: SOL, unit: "0.000001", haircut: "0.15", borrowable: false, limit: "500000"}
instruments:
  - name: BTC_USDC-PERPETUAL
    kind: perpetual
    contract: linear
    underlying: BTC
    settlement: USDC
    contract_size: "0.001"
    lot: "1"
    limit: "1000000"
  - name: BTC-PERPETUAL
    kind: perpetual
    contract: inverse
    underlying: BTC
    settlement: BTC
    contract_size: "10"
    lot: "1"
    limit: "10000000"
  - name: BTC-27JUN25
    kind: future
    contract: inverse
    underlying: BTC
    settlement: BTC
    contract_size: "10"
    lot: "1"
    limit: "10000000"
    expiry: 2025-06-27T08:00:00Z
  - name: BTC-27JUN25-100000-C
    kind: option
    contract: inverse
    underlying: BTC
    settlement: BTC
    contract_size: "1"
    lot: "0.1"
    limit: "1000"
    expiry: 2025-06-27T08:00:00Z
    strike: "100000"
    option: call
"""

MARKET = """\
as_of: 2025-03-28T08:00:00Z
index:
  USDC: {price: "0.9999", source: small_book.py, time: 2025-03-28T08:00:00Z}
  BTC: {price: "85412.37", source: small_book.py, time: 2025-03-28T08:00:00Z}
  SOL: {price: "132.48", source: small_book.py, time: 2025-03-28T08:00:00Z}
marks:
  BTC_USDC-PERPETUAL:
    {price: "85422.5", bid: "85422", ask: "85423", source: small_book.py, time: 2025-03-28T07:59:58Z}
  BTC-PERPETUAL:
    {price: "85419", bid: "85418.5", ask: "85419.5", source: small_book.py, time: 2025-03-28T07:59:59Z}
  BTC-27JUN25:
    {price: "86743", bid: "86741", ask: "86745", source: small_book.py, time: 2025-03-28T07:59:57Z}
options:
  BTC-27JUN25-100000-C:
    {iv: "0.5372", forward: "86743", bid: "0.5312", ask: "0.5432", source: small_book.py, time: 2025-03-28T07:59:57Z}
rates: {USD: "0.04"}
"""

MODEL = """\
model: scenario_portfolio_margin
value_unit: {currency: USD, quantum: "0.00000001"}
staleness_limit_seconds: 600
scan:
  BTC: {price_range: "0.15", volatility_up: "0.40", volatility_down: "0.25"}
  SOL: {price_range: "0.24", volatility_up: "0.45", volatility_down: "0.28"}
extreme: {multiple: "2", covered: "0.35"}
statements:
  - {name: maintenance, factor: "0.8"}
  - {name: initial, factor: "1"}
  - {name: coverage}
strict: false
version: 1
"""

RESERVES = """\
assets: {USDC: "104500", BTC: "2.25", SOL: "2.6"}
insurance_fund: "25000"
source: small_book.py
"""

ACCOUNTS = """\
account,sub_account
acct-a,
acct-a,hedge
acct-b,
acct-c,
acct-d,
acct-e,
"""

BALANCES = """\
account,sub_account,asset,amount
acct-a,,USDC,40000
acct-a,hedge,BTC,0.8
acct-b,,USDC,65000
acct-b,,BTC,0.5
acct-c,,USDC,-5000
acct-c,,BTC,0.9
acct-d,,USDC,1200.25
acct-d,,BTC,0.02
acct-d,,SOL,2.5
"""

POSITIONS = """\
account,sub_account,instrument,quantity,entry_price
acct-a,,BTC_USDC-PERPETUAL,1500,84100.5
acct-a,hedge,BTC-27JUN25,-12000,86900
acct-b,,BTC_USDC-PERPETUAL,-1500,85200
acct-b,,BTC-27JUN25,12000,86500
acct-c,,BTC-PERPETUAL,-4000,85000
acct-c,,BTC-27JUN25-100000-C,-0.5,
acct-d,,BTC-PERPETUAL,4000,87100
acct-d,,BTC-27JUN25-100000-C,0.5,
"""

FILES = {
    "venue.yaml": VENUE,
    "instruments.yaml": INSTRUMENTS,
    "market.yaml": MARKET,
    "model.yaml": MODEL,
    "reserves.yaml": RESERVES,
    "accounts.csv": ACCOUNTS,
    "balances.csv": BALANCES,
    "positions.csv": POSITIONS,
}
