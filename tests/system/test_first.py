"""The first path: a line of two nodes comes up, is used, and goes without a trace."""

from __future__ import annotations

from tests.system.conftest import LINE, Bed


def test_it_works(bed: Bed) -> None:
    result = bed.init(LINE)
    assert result["ready"] == ["0001", "0002"]
    bed.sh("0001", "ping -c1 rd0002.link")
