"""The protocol: the code that must be correct for a verified statement to be true (docs/SPEC.md)."""
