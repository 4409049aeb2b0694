"""The protocol: all that must be right for a verified statement to be true (docs/SPEC.md)."""
