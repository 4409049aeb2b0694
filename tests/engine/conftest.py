"""A small book folder as text, for tests to write, change and load."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from crossmargin.loading import Parameters, load_parameters
from crossmargin.market.instruments import Catalogue

FILES = {
    "venue.yaml": "venue: test-venue\nbook: main\n",
    "instruments.yaml": """\
assets:
  - {name: USDC, unit: "0.000001", haircut: "0", borrowable: true, limit: "1000000000"}
  - {name: BTC, unit: "0.00000001", haircut: "0.05", borrowable: true, limit: "1000"}
  - {name: SOL, unit: "0.000001", haircut: "0.2", borrowable: false, limit: "1000000"}
instruments:
  - {name: BTC_USDC-PERPETUAL, kind: perpetual, contract: linear, underlying: BTC, settlement: USDC,
     contract_size: "0.001", lot: "1", limit: "1000000"}
  - {name: BTC-PERPETUAL, kind: perpetual, contract: inverse, underlying: BTC, settlement: BTC,
     contract_size: "10", lot: "1", limit: "1000000"}
  - {name: BTC-27JUN25-100000-C, kind: option, contract: inverse, underlying: BTC, settlement: BTC,
     contract_size: "1", lot: "0.1", limit: "1000", expiry: 2025-06-27T08:00:00Z, strike: "100000", option: call}
""",
    "market.yaml": """\
as_of: 2025-03-28T08:00:00Z
index:
  USDC: {price: "1", source: exchange, time: 2025-03-28T08:00:00Z}
  BTC: {price: "85000", source: exchange, time: 2025-03-28T08:00:00Z}
  SOL: {price: "130", source: exchange, time: 2025-03-28T08:00:00Z}
marks:
  BTC_USDC-PERPETUAL: {price: "85010", bid: "85009", ask: "85011", source: exchange, time: 2025-03-28T08:00:00Z}
  BTC-PERPETUAL: {price: "85005", source: exchange, time: 2025-03-28T07:59:59Z}
options:
  BTC-27JUN25-100000-C: {iv: "0.55", forward: "86000", source: exchange, time: 2025-03-28T08:00:00Z}
rates: {USD: "0.04"}
""",
    "model.yaml": """\
model: scenario_portfolio_margin
value_unit: {currency: USD, quantum: "0.00000001"}
staleness_limit_seconds: 600
scan:
  BTC: {price_range: "0.15", volatility_up: "0.4", volatility_down: "0.25"}
extreme: {multiple: "2", covered: "0.35"}
statements:
  - {name: maintenance, factor: "0.8"}
  - {name: initial, factor: "1"}
  - {name: coverage}
strict: false
version: 1
""",
    "reserves.yaml": 'assets: {USDC: "60000", BTC: "1.5", SOL: "3"}\ninsurance_fund: "2500"\nsource: test\n',
    "accounts.csv": "account,sub_account\nann,\nann,hedge\nbob,\n",
    "balances.csv": (
        "account,sub_account,asset,amount\nann,,USDC,50000\nann,hedge,USDC,-100.5\nbob,,BTC,1.25\nbob,,SOL,3\n"
    ),
    "positions.csv": (
        "account,sub_account,instrument,quantity,entry_price\n"
        "ann,,BTC_USDC-PERPETUAL,1500,80000.5\n"
        "ann,hedge,BTC_USDC-PERPETUAL,-500,90000\n"
        "bob,,BTC-PERPETUAL,-3000,86500\n"
        "bob,,BTC-27JUN25-100000-C,-0.5,\n"
    ),
}

WriteFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def files() -> Mapping[str, str]:
    return FILES


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Write the book with some files replaced (None: left out); bytes are written as they are."""

    def write(replace: Mapping[str, str | bytes | None] | None = None, name: str = "book") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in {**FILES, **(replace or {})}.items():
            if content is not None:
                data = content.encode("utf-8") if isinstance(content, str) else content
                (folder / file).write_bytes(data)
        return folder

    return write


@pytest.fixture(scope="session")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> Parameters:
    folder = tmp_path_factory.mktemp("parameters")
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    return load_parameters(folder)


@pytest.fixture(scope="session")
def catalogue(parameters: Parameters) -> Catalogue:
    return parameters.catalogue
