"""The readable twin of a receipt as a venue delivers it: the bytes to check, and a view to compare."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossmargin_circuits.encoding import Fields, check_depth
from crossmargin_circuits.errors import MalformedError
from crossmargin_verifier.bundle.receipt_view import TWIN_FORMAT

__all__ = ["ReadableTwin"]


@dataclass(frozen=True, repr=False)
class ReadableTwin:
    """A delivered twin: the receipt's bytes, the venue's signature, and the whole content of the file. Private."""

    receipt: bytes
    signature: bytes
    view: Mapping[str, Any]

    @classmethod
    def decode(cls, data: bytes) -> "ReadableTwin":
        """Parse the receipt's bytes and signature in a twin; the rest is compared, not trusted.

        Raises:
            MalformedError: no JSON, a key that stands twice, another format, or bytes that are not hexadecimal.
        """
        check_depth(data, "receipt")
        try:
            value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
            fields = Fields(value, "receipt: ", "format", "receipt", "signature", exactly=False)
            fields.format(TWIN_FORMAT)
            receipt, signature = (bytes.fromhex(fields.string(key)) for key in ("receipt", "signature"))
        except (ValueError, RecursionError):
            raise MalformedError("receipt: not a readable receipt (JSON with format, receipt and signature)") from None
        return cls(receipt, signature, value)

    def differences(self, expected: Mapping[str, Any]) -> list[str]:
        """Return the fields in which the twin differs from the computed view.

        A margin in the twin under a policy that the bundle does not have (of an earlier bundle, say) is left out of the
        comparison: `unknown_margins` names it.
        """
        found = self.view
        both = found.keys() & expected.keys() - {"margin"}
        different = (found.keys() ^ expected.keys()) | {name for name in both if not _same(found[name], expected[name])}
        computed = {each["policy"]: each for each in expected["margin"]}
        for policy, margin in self._margins():
            if policy in computed and not _same(margin, computed[policy]):
                different.add("margin")
        return sorted(different)

    def unknown_margins(self, expected: Mapping[str, Any]) -> list[str]:
        """Return the policy digests of margins in the twin that cannot be computed from the bundle."""
        computed = {each["policy"] for each in expected["margin"]}
        return sorted({policy for policy, _ in self._margins()} - computed)

    def _margins(self) -> list[tuple[str, Any]]:
        """Return the margins with the digests of their policies.

        Raises:
            MalformedError: not a list of objects, each with the digest of its policy.
        """
        fields = Fields(self.view, "receipt: ", "margin", exactly=False)
        found = fields.each("margin", "policy", exactly=False)
        return [(each.string("policy"), margin) for each, margin in zip(found, fields.items("margin"), strict=True)]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _same(found: Any, expected: Any) -> bool:
    """Return whether two JSON values are the same, 1 and true and 1.0 being different."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return bool(found == expected)
