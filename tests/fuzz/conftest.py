"""How long to look: `make fuzz` sets HYPOTHESIS_PROFILE=long, `make test` looks for a moment."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("short", max_examples=150, deadline=None)
settings.register_profile("long", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
