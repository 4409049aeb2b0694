"""Field types of the files people write: exact decimals, instants, flags and names (pydantic, strict).

Files are read without type inference, every scalar as text, so that each field type reads a text in one way only.
Values of the right Python type pass; floats never do.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic_core import PydanticCustomError

from crossmargin.errors import InputError
from crossmargin.units import format_decimal, parse_decimal
from crossmargin_circuits.layout import CURRENCY, MAX_NAME

__all__ = [
    "MAX_NAME_LENGTH",
    "MAX_TEXT_LENGTH",
    "AssetName",
    "Currency",
    "ExactDecimal",
    "Flag",
    "Frozen",
    "Instant",
    "Listed",
    "Name",
    "NotNegative",
    "Positive",
    "Text",
    "WholeNumber",
    "between",
    "dotted",
    "problems_of",
    "refuse",
]

MAX_NAME_LENGTH = MAX_NAME
"""Most characters in the name of an asset, an instrument or a currency; names stand in labels and in the verdict."""

MAX_TEXT_LENGTH = 500
"""Most characters in a line of text for people."""

_REASONS = {
    "dict_type": "not a mapping of fields",
    "float_type": "not a number",
    "literal_error": "not {expected}",
    "model_attributes_type": "not a mapping of fields",
    "model_type": "not a mapping of fields",
    "string_pattern_mismatch": "not in the form {pattern}",
    "string_type": "not text",
    "too_short": "too few entries",
    "tuple_type": "not a list",
}
"""Reasons for those pydantic errors that a reader can meet."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]*")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class Frozen(BaseModel):
    """Base of the models of untrusted files: strict types, no unknown field, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def refuse(reason: str, hint: str, field: str = "") -> PydanticCustomError:
    """Return the error for a validator to raise; the loader makes it an InputError with file, line and field.

    field: which part of the validated value is wrong ("strike", "instruments[2].settlement"); empty for all of it.
    """
    return PydanticCustomError("crossmargin", "{reason}; {hint}", {"reason": reason, "hint": hint, "field": field})


def dotted(steps: Sequence[str | int]) -> str:
    """Return "assets[2].unit" for the steps to a value."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def problems_of(error: ValidationError) -> list[InputError]:
    """Return pydantic's errors as input errors, which state the field but not the file."""
    found = []
    for detail in error.errors(include_url=False):
        steps = [step for step in detail["loc"] if step != "[key]"]
        field, kind, context = dotted(steps), detail["type"], detail.get("ctx", {})
        if kind == "missing":
            reason, hint = "missing", f"add {steps[-1]}"
        elif kind == "extra_forbidden":
            reason, hint = "unknown field", "remove it or correct its spelling"
        elif kind == "crossmargin":
            reason, hint = context["reason"], context["hint"]
            part = context["field"]
            field += f".{part}" if field and part and not part.startswith("[") else part
        else:
            words = _REASONS.get(kind)
            reason = detail["msg"] if words is None else words.format(**context)
            hint = "follow the documented format"
        found.append(InputError(reason, hint=hint, field=field))
    return found


def between(low: str, high: str, *, low_in: bool = True, high_in: bool = True) -> Callable[[Decimal], Decimal]:
    """Return a validator that a decimal lies between two bounds, each of which may be excluded."""

    def check(value: Decimal) -> Decimal:
        bottom, top = Decimal(low), Decimal(high)
        if value < bottom or value > top or (value == bottom and not low_in) or (value == top and not high_in):
            left, right = "<=" if low_in else "<", "<=" if high_in else "<"
            raise refuse(f"not in {low} {left} value {right} {high}", "choose a value in this range")
        return value

    return check


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise refuse("not positive", "write a decimal above zero")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise refuse("negative", "write a decimal of zero or more")
    return value


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, str):
        try:
            return parse_decimal(value)
        except InputError as error:
            raise refuse(error.reason, error.hint) from None
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise refuse("not an exact decimal", 'write a decimal such as "0.25"')


def _instant(value: Any) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise refuse("no such date or time", "write a time such as 2025-06-27T08:00:00Z") from None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    raise refuse("not a time with a time zone", "write a time such as 2025-06-27T08:00:00Z")


def _flag(value: Any) -> bool:
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise refuse("neither true nor false", "write true or false")


def _whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise refuse("not a whole number", "write digits only")


def _name(value: Any) -> str:
    if isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and _NAME.fullmatch(value):
        return value
    long = isinstance(value, str) and len(value) > MAX_NAME_LENGTH
    raise refuse(
        f"a name of {len(value)} characters" if long else "not a name",
        f"write 1 to {MAX_NAME_LENGTH} of the characters A-Z a-z 0-9 _ . / : - with a letter or digit first",
    )


def _asset(value: str) -> str:
    if value.isdecimal():
        raise refuse("a name of digits alone", "write a name with a letter; amounts stand before it")
    return value


def _currency(value: str) -> str:
    if not CURRENCY.fullmatch(value):
        raise refuse("not a currency: no letter first", "write a name such as USD, with a letter first")
    return value


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= MAX_TEXT_LENGTH:
        return value
    raise refuse("not a line of text", f"write 1 to {MAX_TEXT_LENGTH} printable characters")


ExactDecimal = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(format_decimal, when_used="json")]
"""A finite decimal, never through a float; written as digits with a point."""

NotNegative = Annotated[ExactDecimal, AfterValidator(_not_negative)]
"""A decimal of zero or more."""

Positive = Annotated[ExactDecimal, AfterValidator(_positive)]
"""A decimal above zero."""

Listed = BeforeValidator(_listed)
"""Reads a list of a file as the tuple that a frozen model holds."""

Instant = Annotated[datetime, BeforeValidator(_instant)]
"""A moment, kept in UTC."""

Flag = Annotated[bool, BeforeValidator(_flag)]
"""true or false."""

WholeNumber = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
"""A whole number, zero or more."""

Name = Annotated[str, BeforeValidator(_name)]
"""Name of an asset, an instrument or an underlying."""

AssetName = Annotated[Name, AfterValidator(_asset)]
"""Name of an asset, which stands behind amounts: not digits alone."""

Currency = Annotated[Name, AfterValidator(_currency)]
"""Name of a currency: a letter first."""

Text = Annotated[str, BeforeValidator(_text)]
"""One line of text for people."""
