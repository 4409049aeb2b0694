"""Hypothesis profiles: `ci` is the default, `slow` is chosen with --hypothesis-profile or HYPOTHESIS_PROFILE."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes depends on the machine and its load, so time is no reason to fail (pytest has a limit).
ANY_SPEED = [HealthCheck.too_slow]

settings.register_profile(
    "ci", max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=ANY_SPEED
)
settings.register_profile("slow", max_examples=500, deadline=None, print_blob=True, suppress_health_check=ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
