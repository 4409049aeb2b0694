"""Margin models, one file per architecture: each holds its parameters and writes its requirement as an expression."""

from crossmargin.models.base import MarginModel
from crossmargin.models.policies import build_policy, rebuild_policy
from crossmargin.models.registry import ARCHITECTURES, parse_model, register_model

__all__ = ["ARCHITECTURES", "MarginModel", "build_policy", "parse_model", "rebuild_policy", "register_model"]
