"""For all unit tests: no property test fails because the machine is busy; fixtures."""

from __future__ import annotations

from hypothesis import settings

from tests.unit.build_workshop import workshop  # noqa: F401 - a fixture
from tests.unit.vct_command import vct  # noqa: F401 - a fixture

settings.register_profile("vct", deadline=None)
settings.load_profile("vct")
