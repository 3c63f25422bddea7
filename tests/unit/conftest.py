"""For all unit tests: no property test fails because the machine is busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("vct", deadline=None)
settings.load_profile("vct")
