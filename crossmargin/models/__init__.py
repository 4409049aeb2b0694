"""Margin models: each file builds one part of a policy as an expression; `build_policy` puts a statement together."""

from crossmargin.models.statement import build_policy, rebuild_policy

__all__ = ["build_policy", "rebuild_policy"]
