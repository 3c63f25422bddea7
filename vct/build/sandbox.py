"""Where build steps run: private mount and process namespaces that die with the build.

The holder is a `cat` that is process 1 of its own process namespace. It ends when its standard
input does, that is when vct closes it, crashes or is killed; then the kernel ends every process of
the build and drops every mount. Nothing of a build is ever mounted on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from vct.drivers import process
from vct.errors import VctError

HOLDER = [
    "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
    "--mount-proc", "cat",
]  # fmt: skip


class Runner(Protocol):
    """Runs a build's programs. Tests have one that only writes down what it is asked to run."""

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], network: bool = True) -> int: ...

    def stop(self) -> None: ...


class Sandbox:
    """Runs programs in the build's namespaces; their output goes to `log`. A context manager."""

    def __init__(self, log: IO[bytes], *, inherit: Sequence[int] = ()) -> None:
        self._log = log
        self._inherit = tuple(inherit)
        self._holder: process.Process | None = None

    def __enter__(self) -> Sandbox:
        self._holder = process.start(
            HOLDER,
            stdin=process.PIPE,
            stdout=process.PIPE,
            stderr=self._log,
            new_session=True,
            pass_fds=self._inherit,
        )
        try:
            self._wait_until_up(self._holder)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], network: bool = True) -> int:
        """Run a program to its end and return its exit code."""
        self._log.write(f"$ {process.render_command(argv)}\n".encode())
        self._log.flush()
        running = process.start(
            [*self._entry(), *([] if network else ["unshare", "--net", "--"]), *argv],
            stdout=self._log,
            stderr=self._log,
            env=env,
        )
        try:
            return int(running.wait())
        except BaseException:
            self._close()  # ends it
            running.wait()
            raise

    def stop(self) -> None:
        """End all that runs in it; may be called by another thread. The sandbox is of no use then.

        What is running, and all that is run later, fails.
        """
        if self._holder is not None and self._holder.stdin is not None:
            self._holder.stdin.close()

    def _entry(self) -> list[str]:
        assert self._holder is not None  # noqa: S101 - used outside of its `with`
        namespaces = Path("/proc") / str(self._holder.pid) / "ns"
        return [
            "nsenter",
            f"--mount={namespaces}/mnt",
            f"--pid={namespaces}/pid_for_children",
            "--",
        ]

    @staticmethod
    def _wait_until_up(holder: process.Process) -> None:
        assert holder.stdin is not None  # noqa: S101 - a pipe
        assert holder.stdout is not None  # noqa: S101 - a pipe
        try:
            holder.stdin.write(b"up\n")
            holder.stdin.flush()
            answer = holder.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if answer != b"up\n":
            raise VctError(
                "private namespaces for the build could not be made",
                hint=f"replay it with: {process.render_command(HOLDER)} </dev/null",
            )

    def _close(self) -> None:
        if self._holder is None:
            return
        assert self._holder.stdin is not None  # noqa: S101 - a pipe
        assert self._holder.stdout is not None  # noqa: S101 - a pipe
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait()
