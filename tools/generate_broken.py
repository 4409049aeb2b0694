"""Write the small book, the same book broken in one place each, and edge cases: `python -m tools.generate_broken`.

`small/` is tools/small_book.py as files. Every folder of `broken/` differs from it as `broken/expected.yaml` says:
one passage of one file is exchanged, or a file is given one of TREATMENTS. The same file states what the refusal must
name. The folders of `edges/` are legal books at the edge of what is.
"""

import argparse
import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tools.small_book import FILES

HERE = Path(__file__).resolve().parent.parent / "examples"

Files = dict[str, bytes]

ONE_ACCOUNT = {
    "accounts.csv": "account,sub_account\nacct-a,\n",
    "balances.csv": "account,sub_account,asset,amount\nacct-a,,USDC,40000\n",
    "positions.csv": FILES["positions.csv"].split("\n")[0] + "\n",
}


CHAIN_ASSET = """\
  - {name: USDC.ethereum, of: USDC, chain: ethereum, unit: "0.000001", haircut: "0", borrowable: false, limit: "900000"}
"""

CHAINS = """\
chains:
  - {name: ethereum, haircut: "0.02", finalized: 22143500}
"""

FEEDS = """\
feeds:
  BTC:
    average: "85390"
    sources:
      - {source: one, price: "85412.37", confidence: "12.5", time: 2025-03-28T07:59:58Z}
      - {source: two, price: "85409", confidence: "20", time: 2025-03-28T07:59:55Z}
      - {source: three, price: "85417.5", confidence: "9", time: 2025-03-28T07:59:59Z}
      - {source: four, price: "85388", confidence: "15", time: 2025-03-28T07:58:12Z}
      - {source: five, price: "87204", confidence: "40", time: 2025-03-28T07:59:57Z}
"""

RULES = """\
collateral:
  BTC:
    tiers:
      - {up_to: "1", weight: "1"}
      - {weight: "0.9"}
    borrow: "0.02"
mismatch: {rate: "0.08"}
depeg:
  - {USDC: "0.05"}
oracle:
  staleness_seconds: 60
  minimum_sources: 3
  outlier: "0.02"
  confidence_limit: "0.01"
  confidence_multiple: "2"
  divergence: {perpetual: "0.005", future: "0.03", average: "0.02"}
  dislocated: refuse
  maximum_widening: "0.1"
"""

DEPOSITS = """\
account,sub_account,asset,block,amount
acct-a,,USDC.ethereum,22143318,750
acct-a,hedge,USDC.ethereum,22143500,250
acct-b,,USDC.ethereum,22143507,1200
"""


def main() -> None:
    """Read the options and write the folders, in place of those that are there."""
    parser = argparse.ArgumentParser(description="Write the small book, its broken variants and its edge cases.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default %(default)s)")
    out: Path = parser.parse_args().out
    expected = yaml.safe_load((HERE / "broken" / "expected.yaml").read_text(encoding="utf-8"))
    _write(out / "small", _small())
    for name, fault in expected.items():
        _write(out / "broken" / name, broken(fault))
    for name, edge in EDGES.items():
        _write(out / "edges" / name, edge(_small()))


def broken(fault: Mapping[str, Any]) -> Files:
    """Return the files of the small book with one fault, as `broken/expected.yaml` describes it."""
    files = _small()
    file = fault["file"]
    if "treatment" in fault:
        TREATMENTS[fault["treatment"]](files, file)
    else:
        files[file] = _exchange(files[file], fault["find"], fault["put"])
    return files


def _small() -> Files:
    return {name: text.encode() for name, text in FILES.items()}


def _exchange(data: bytes, find: str, put: str) -> bytes:
    """Return the data with a passage exchanged that stands there once."""
    if data.count(find.encode()) != 1:
        raise ValueError(f"{find!r} stands there {data.count(find.encode())} times")
    return data.replace(find.encode(), put.encode())


def _write(folder: Path, files: Files) -> None:
    """Write a folder with these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _delete(files: Files, file: str) -> None:
    del files[file]


def _empty(files: Files, file: str) -> None:
    files[file] = b""


def _latin_1(files: Files, file: str) -> None:
    """Put a no-break space at the end of the third row, as Latin-1 encodes it."""
    lines = files[file].split(b"\n")
    lines[3] += b"\xa0"
    files[file] = b"\n".join(lines)


def _windows(files: Files, file: str) -> None:
    files[file] = files[file].replace(b"\n", b"\r\n")


def _cut(files: Files, file: str) -> None:
    files[file] = files[file][:-2]


def _headers(files: Files, _: str) -> None:
    """Leave nothing but the header of every table."""
    for name in ("accounts.csv", "balances.csv", "positions.csv"):
        files[name] = files[name].split(b"\n")[0] + b"\n"


def _parquet(data: bytes, *, floats: str | None = None) -> bytes:
    """Return a CSV table as Parquet, with one column as floating point if named."""
    table = pl.read_csv(data, infer_schema=False).with_columns(pl.all().fill_null(""))
    if floats is not None:
        table = table.with_columns(pl.col(floats).cast(pl.Float64))
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def _both(files: Files, file: str) -> None:
    files[file.replace(".csv", ".parquet")] = _parquet(files[file])


def _truncated(files: Files, file: str) -> None:
    data = _parquet(files.pop(file))
    files[file.replace(".csv", ".parquet")] = data[: len(data) * 3 // 5]


def _floats(files: Files, file: str) -> None:
    files[file.replace(".csv", ".parquet")] = _parquet(files.pop(file), floats="amount")


TREATMENTS: dict[str, Callable[[Files, str], None]] = {
    "delete": _delete,
    "empty": _empty,
    "latin-1": _latin_1,
    "windows-line-ends": _windows,
    "cut": _cut,
    "headers-only": _headers,
    "parquet-too": _both,
    "parquet-cut": _truncated,
    "parquet-floats": _floats,
}


def _one_account(files: Files) -> Files:
    return files | {name: text.encode() for name, text in ONE_ACCOUNT.items()}


def _all_empty(files: Files) -> Files:
    """Return the accounts without balances and positions."""
    return files | {name: files[name].split(b"\n")[0] + b"\n" for name in ("balances.csv", "positions.csv")}


def _expired_option(files: Files) -> Files:
    """Return the book with its option expired a week before, in the money, and without a volatility."""
    old, new = "BTC-27JUN25-100000-C", "BTC-21MAR25-80000-C"
    terms = _exchange(files["instruments.yaml"], f"name: {old}", f"name: {new}")
    terms = _exchange(terms, '2025-06-27T08:00:00Z\n    strike: "100000"', '2025-03-21T08:00:00Z\n    strike: "80000"')
    market = files["market.yaml"]
    market = market[: market.index(b"options:")] + market[market.index(b"rates:") :]
    positions = files["positions.csv"].replace(old.encode(), new.encode())
    return files | {"instruments.yaml": terms, "market.yaml": market, "positions.csv": positions}


def _at_the_limit(files: Files) -> Files:
    """Return the book with the largest position that the option's limit allows, long and short."""
    positions = _exchange(files["positions.csv"], "-C,-0.5,", "-C,-1000,")
    return files | {"positions.csv": _exchange(positions, "-C,0.5,", "-C,1000,")}


def _chains_and_feeds(files: Files) -> Files:
    """Return the book with USDC on a chain, a deposit that is pending, BTC priced by feeds, and collateral rules."""
    assets = _exchange(files["instruments.yaml"], "instruments:\n", f"{CHAIN_ASSET}instruments:\n") + CHAINS.encode()
    market = files["market.yaml"]
    start = market.index(b"  BTC: {price")
    market = market[:start] + market[market.index(b"  SOL: {price") :] + FEEDS.encode()
    return files | {
        "instruments.yaml": assets,
        "market.yaml": market,
        "model.yaml": files["model.yaml"] + RULES.encode(),
        "reserves.yaml": _exchange(files["reserves.yaml"], 'SOL: "2.6"', 'SOL: "2.6", USDC.ethereum: "1000"'),
        "deposits.csv": DEPOSITS.encode(),
    }


def _holder_parts(files: Files) -> Files:
    """Return the book with ids of which the holders chose a part, all but one."""
    parts = {"acct-a,": "blue-heron", "acct-b,": "9f2c4e71", "acct-c,": "Wed_14.30", "acct-d,": "x"}
    header, *rows = files["accounts.csv"].decode().splitlines()
    lines = [f"{header},holder_part", *(f"{row},{parts.get(row, '')}" for row in rows)]
    return files | {"accounts.csv": "".join(f"{line}\n" for line in lines).encode()}


EDGES: dict[str, Callable[[Files], Files]] = {
    "one-account": _one_account,
    "all-accounts-empty": _all_empty,
    "expired-option": _expired_option,
    "at-the-limit": _at_the_limit,
    "chains-and-feeds": _chains_and_feeds,
    "holder-parts": _holder_parts,
}


if __name__ == "__main__":
    main()
