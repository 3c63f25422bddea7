"""The log: dated lines, of bounded size, that no fault of the disk and no words of others harm."""

from __future__ import annotations

import sys
from pathlib import Path

from vct.agent.log import LINE_MAX, Log, Words


def test_it_works(tmp_path: Path) -> None:
    Log(tmp_path / "log/agent.log", clock=lambda: 0.0).write("state safe")
    assert (tmp_path / "log/agent.log").read_text() == "1970-01-01T00:00:00Z state safe\n"


def test_it_keeps_one_old_file_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    log = Log(path, size_max=100)
    for number in range(40):
        log.write(f"line {number}")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["agent.log", "agent.log.old"]
    assert all(one.stat().st_size < 200 for one in tmp_path.iterdir())


def test_others_words_are_one_line(tmp_path: Path) -> None:
    Log(tmp_path / "l").write("a\nb\x1b[31m\udcff" + "x" * LINE_MAX)
    (line,) = (tmp_path / "l").read_text().splitlines()
    assert "a b [31m" in line


def test_a_disk_that_takes_nothing_costs_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Log(tmp_path / "file" / "agent.log").write("lost")


def test_the_last_words_of_a_fault_are_in_it(tmp_path: Path) -> None:
    words = Words(Log(tmp_path / "l"))
    try:
        raise KeyError("of our own")
    except KeyError as error:
        old, sys.stderr = sys.stderr, words
        sys.__excepthook__(type(error), error, error.__traceback__)
        sys.stderr = old
    assert "KeyError: 'of our own'" in (tmp_path / "l").read_text()
