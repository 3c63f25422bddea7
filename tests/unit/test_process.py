"""The door to other programs: what they get, what comes back, and what a failure says."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from vct.drivers import process
from vct.drivers.process import CommandError
from vct.errors import HostError


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_it_works() -> None:
    ended = process.run(["echo", "hello"])
    assert (ended.code, ended.stdout, ended.stderr) == (0, "hello\n", "")


def test_arguments_are_no_shell_text() -> None:
    assert process.run(["echo", "$HOME; echo `id` *"]).stdout == "$HOME; echo `id` *\n"


def test_the_environment_is_made_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCT_TEST_SECRET", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    seen = process.run(["env"]).stdout.splitlines()
    names = {line.split("=", 1)[0] for line in seen}
    assert names <= {"PATH", "LC_ALL", "HOME", *process.PROXY_VARIABLES}
    assert f"PATH={process.SEARCH_PATH}" in seen


def test_a_call_adds_to_the_environment_for_itself_only() -> None:
    assert "COLOUR=blue" in process.run(["env"], env={"COLOUR": "blue"}).stdout.splitlines()
    assert "COLOUR=blue" not in process.run(["env"]).stdout


def test_there_is_nothing_to_read_unless_given() -> None:
    assert process.run(["cat"]).stdout == ""
    assert process.run(["cat"], input="líne\n").stdout == "líne\n"


def test_a_program_runs_where_it_is_told(tmp_path: Path) -> None:
    assert process.run(["pwd"], cwd=tmp_path).stdout.strip() == str(tmp_path)


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert process.run(["printf", "a\\377b"]).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_a_failure_tells_the_code_the_last_words_and_how_to_replay_it() -> None:
    argv = python("import sys; print('lost', file=sys.stderr); sys.exit('it\\'s over')")
    with pytest.raises(CommandError) as caught:
        process.run(argv)
    assert caught.value.message.endswith("failed with exit code 1: lost; it's over")
    assert caught.value.hint == f"replay it with: {process.render_command(argv)}"
    assert caught.value.details() == {"command": argv, "code": 1}


def test_a_failure_without_words_says_so() -> None:
    with pytest.raises(CommandError, match=r"^false failed with exit code 1, without a word$"):
        process.run(["false"])


def test_only_the_last_words_of_a_long_story_are_told() -> None:
    with pytest.raises(CommandError) as caught:
        process.run(python("for n in range(100): print(n)\nraise SystemExit(3)"))
    assert caught.value.message.endswith("exit code 3: 95; 96; 97; 98; 99")


def test_an_expected_failure_is_a_result() -> None:
    assert process.run(["false"], check=False).code == 1


def test_a_program_that_does_not_end_is_killed() -> None:
    with pytest.raises(CommandError, match=r"no end after 0\.05 s, killed"):
        process.run(["sleep", "60"], timeout_s=0.05)


def test_a_missing_program_is_the_hosts_fault() -> None:
    with pytest.raises(HostError, match="vct-no-such-program") as caught:
        process.run(["vct-no-such-program"])
    assert caught.value.exit_code == 3
    assert "vct doctor" in caught.value.hint


def test_a_missing_path_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="nothing"):
        process.run([str(tmp_path / "nothing")])


def test_find_looks_for_programs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, program, folder = tmp_path / "plain", tmp_path / "program", tmp_path / "folder"
    plain.touch(mode=0o644)
    program.touch(mode=0o755)
    folder.mkdir()
    monkeypatch.setattr(process, "SEARCH_PATH", str(tmp_path))
    assert process.find("program") == program
    assert [process.find(name) for name in ("plain", "folder", "absent")] == [None] * 3


def test_a_started_program_can_be_followed_and_ended() -> None:
    started = process.start(["cat"], stdin=process.PIPE, stdout=process.PIPE)
    assert started.communicate(b"echo")[0] == b"echo"
    assert started.returncode == 0


def test_a_started_program_can_have_its_own_session() -> None:
    started = process.start(["sleep", "60"], new_session=True)
    try:
        assert os.getsid(started.pid) == started.pid
    finally:
        started.send_signal(signal.SIGTERM)
        assert started.wait() == -signal.SIGTERM


def test_a_program_in_the_foreground_gives_its_exit_code() -> None:
    assert process.foreground(python("raise SystemExit(7)")) == 7


def test_a_rendered_command_can_be_pasted() -> None:
    assert process.render_command(["ip", "link", "it's"]) == "ip link 'it'\"'\"'s'"
