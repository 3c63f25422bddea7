"""The one door to other programs: plumbum, argv lists only, a small fixed environment, no stdin.

Every call is logged (logger `vct.process`) as a line that can be pasted into a shell, and a failure
carries that line. Nothing else in vct starts a process.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess  # for its constants and TimeoutExpired; plumbum starts the processes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from vct.errors import HostError, VctError

log = logging.getLogger("vct.process")

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
PIPE = subprocess.PIPE
"""For `start`: the caller reads or writes this stream itself."""
Process = subprocess.Popen[bytes]
"""What `start` returns."""
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")


@cache
def _local() -> Any:
    """plumbum's local machine, loaded with the first program: it takes longer than most of them.

    plumbum adds its own copy of the caller's environment to every process; programs that we start
    get a known one instead, whatever shell vct was started from.
    """
    from plumbum import local

    known = ENVIRONMENT | {k: os.environ[k] for k in PROXY_VARIABLES if k in os.environ}
    local.env.clear()
    local.env.update(known)
    return local


@dataclass(frozen=True, slots=True)
class Completed:
    """How a finished program ended and what it printed."""

    code: int
    stdout: str
    stderr: str


class CommandError(VctError):
    """A program ended with an unexpected exit code; the message holds its last words."""

    def __init__(self, argv: Sequence[str], completed: Completed) -> None:
        words = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-5:]
        said = f": {'; '.join(words)}" if words else ", without a word"
        super().__init__(
            f"{Path(argv[0]).name} failed with exit code {completed.code}{said}",
            hint=f"replay it with: {render_command(argv)}",
        )
        self.argv = tuple(argv)
        self.completed = completed

    def details(self) -> dict[str, object]:
        return {"command": list(self.argv), "code": self.completed.code}


def render_command(argv: Sequence[str]) -> str:
    """The command as a line for a shell."""
    return shlex.join(argv)


def run(
    argv: Sequence[str],
    *,
    input: str = "",  # noqa: A002 - the field's word
    check: bool = True,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a program to its end and return what it printed.

    `env` adds to the fixed environment. Raises CommandError on a non-zero exit code (unless
    `check` is off) or a time-out, HostError when the program is not installed.
    """
    log.debug("run: %s", render_command(argv))
    process = _popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE if input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C reaches vct alone, which then decides what becomes of its programs.
        start_new_session=True,
    )
    try:
        out, err = process.communicate(input.encode() if input else None, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        late = Completed(-9, _text(out), f"{_text(err)}\nno end after {timeout_s:g} s, killed")
        raise CommandError(argv, late) from None
    except BaseException:
        process.kill()
        process.communicate()
        raise
    completed = Completed(process.returncode, _text(out), _text(err))
    if check and completed.code != 0:
        raise CommandError(argv, completed)
    return completed


def foreground(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a program on this process' own terminal (ssh, a shell) and return its exit code."""
    log.debug("foreground: %s", render_command(argv))
    terminal = {"TERM": os.environ["TERM"]} if "TERM" in os.environ else {}
    process = _popen(argv, env={**terminal, **(env or {})}, stdin=None, stdout=None, stderr=None)
    while True:
        try:
            return int(process.wait())
        except KeyboardInterrupt:  # the terminal sent it to the program too; its answer counts
            continue


def start(
    argv: Sequence[str],
    *,
    stdout: Any = subprocess.DEVNULL,
    stderr: Any = subprocess.DEVNULL,
    stdin: Any = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    new_session: bool = False,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a program and return at once, to follow its output or to stop it later.

    The caller keeps the result until the program has ended. Daemons detach themselves.
    """
    log.debug("start: %s", render_command(argv))
    return _popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=new_session,
        pass_fds=tuple(pass_fds),
    )


def find(program: str) -> Path | None:
    """Where a program is installed, or None."""
    for directory in SEARCH_PATH.split(":"):
        path = Path(directory) / program
        if os.access(path, os.X_OK) and path.is_file():
            return path
    return None


def _popen(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None = None,
    **options: Any,
) -> Process:
    path = Path(argv[0]) if "/" in argv[0] else find(argv[0])
    if path is None:
        raise _missing(argv[0])
    try:
        process = _local()[str(path)].popen(
            list(argv[1:]), env=dict(env or {}), cwd=str(cwd) if cwd else None, **options
        )
    except FileNotFoundError:
        raise _missing(argv[0]) from None
    return cast("Process", process)  # plumbum's wrapper passes all of it through


def _missing(program: str) -> HostError:
    return HostError(f"the program {program} is not installed", hint="run: vct doctor --fix")


def _text(raw: bytes | str | None) -> str:
    if isinstance(raw, bytes):
        return raw.decode(errors="replace")
    return raw or ""
