"""For all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and programs inherit that: the tests that
    press it must not depend on who started them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
