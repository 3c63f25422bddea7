"""What a suite needs of the host's own mmdebstrap."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build.suites import suite_of


@pytest.mark.parametrize("suite", ["wheezy", "jessie", "bookworm", "trixie"])
def test_it_works(suite: str) -> None:
    """The hooks that its old packages need are there."""
    assert all(Path(hook).is_dir() for hook in suite_of(suite).hooks)
