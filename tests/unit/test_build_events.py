"""What builds and exports tell: a step's beginning and end, and remarks."""

from __future__ import annotations

import pytest

from vct.build.events import Progress, notes, told
from vct.errors import VctError

STEP = Progress(image="tiny", arch="i386", step="write tar.zst", at=2, of=3)


def test_it_works() -> None:
    heard: list[Progress] = []
    with told(heard.append, STEP):
        assert heard == [STEP]
    ended = heard[1]
    assert (ended.step, ended.done, ended.at) == ("write tar.zst", True, 2)
    assert ended.seconds >= 0


def test_a_step_that_failed_has_no_end() -> None:
    heard: list[Progress] = []
    with pytest.raises(VctError), told(heard.append, STEP):
        raise VctError("no room")
    assert heard == [STEP]


def test_a_remark_begins_and_ends_nothing() -> None:
    heard: list[Progress] = []
    notes(heard.append, "tiny", "i386")("waiting for another vct")
    [remark] = heard
    assert (remark.image, remark.arch, remark.step) == ("tiny", "i386", "waiting for another vct")
    assert (remark.note, remark.done) == (True, False)
