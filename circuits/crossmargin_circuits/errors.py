"""Errors of the circuits: what a policy, a relation or a file can be refused for."""

__all__ = ["BudgetError", "CrossmarginError", "CurvatureError", "MalformedError", "PolicyError"]


class CrossmarginError(Exception):
    """Base of every error that crossmargin raises on purpose."""


class MalformedError(CrossmarginError):
    """Bytes that are not the canonical encoding of any value: they could not be decoded."""


class PolicyError(CrossmarginError):
    """A policy that decodes but does not describe one relation (unknown name, missing array, ...)."""


class CurvatureError(PolicyError):
    """An expression that is not convex (or concave) where it must be; names the node and the alternative."""


class BudgetError(PolicyError):
    """A row or an auxiliary that can leave its integer range within the stated column limits."""
