"""Instrument names: the contract terms in a name that follows a known convention.

Deribit: BTC-PERPETUAL, ETH-27JUN25, BTC-27JUN25-100000-C, BTC_USDC-PERPETUAL, XRP_USDC-27JUN25-0d625-P.
Binance options: BTC-250627-100000-C. ccxt (unified): BTC/USDC:USDC, BTC/USD:BTC-250627, BTC/USD:BTC-250627-100000-C.
A name in none of these says nothing and is not checked.
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from crossmargin.errors import InputError

__all__ = ["ParsedName", "parse_name"]

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

_STRIKE = r"(?P<strike>[0-9]{1,12}(?:[d.][0-9]{1,12})?)-(?P<option>[CP])"
_DERIBIT = re.compile(
    r"(?P<base>[A-Z0-9]+)(?:_(?P<settlement>[A-Z0-9]+))?-"
    rf"(?:PERPETUAL|(?P<day>[0-9]{{1,2}})(?P<month>{'|'.join(_MONTHS)})(?P<year>[0-9]{{2}})(?:-{_STRIKE})?)"
)
_BINANCE = re.compile(rf"(?P<base>[A-Z0-9]+)-(?P<date>[0-9]{{6}})-{_STRIKE}")
_CCXT = re.compile(
    r"(?P<base>[A-Z0-9]+)/(?P<quote>[A-Z0-9]+):(?P<settlement>[A-Z0-9]+)"
    rf"(?:-(?P<date>[0-9]{{6}})(?:-{_STRIKE})?)?"
)


@dataclass(frozen=True)
class ParsedName:
    """The terms in a name; None for a term it does not state. kind: "perpetual", "future" or "option"."""

    underlying: str
    kind: str
    settlement: str | None
    expiry: date | None
    strike: Decimal | None
    option: str | None


def parse_name(name: str) -> ParsedName | None:
    """Return the terms in an instrument's name, or None where it follows no known convention.

    Raises:
        InputError: it follows a convention but names a day that does not exist.
    """
    match = _DERIBIT.fullmatch(name) or _BINANCE.fullmatch(name) or _CCXT.fullmatch(name)
    if match is None:
        return None
    part = match.groupdict()
    expiry = _expiry(name, part)
    strike = part["strike"]
    option = {"C": "call", "P": "put", None: None}[part["option"]]
    kind = "perpetual" if expiry is None else "future" if strike is None else "option"
    return ParsedName(
        underlying=part["base"],
        kind=kind,
        settlement=part.get("settlement"),
        expiry=expiry,
        strike=None if strike is None else Decimal(strike.replace("d", ".")),
        option=option,
    )


def _expiry(name: str, part: dict[str, str | None]) -> date | None:
    """Return the day of a Deribit (27JUN25) or a YYMMDD (250627) date, both of this century."""
    text, day, month, year = (part.get(key) for key in ("date", "day", "month", "year"))
    try:
        if text is not None:
            return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
        if day is not None and month is not None and year is not None:
            return date(2000 + int(year), _MONTHS.index(month) + 1, int(day))
    except ValueError:
        raise InputError(f"the name {name} has a day that does not exist", hint="correct the date") from None
    return None
