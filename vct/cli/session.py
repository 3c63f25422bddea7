"""What every command gets: the global options, the settings, and the two ways to say something.

Results go to stdout (text or, with --json, one JSON document), everything else to stderr.
Nothing heavy is imported before it is needed: `vct --help` and completion stay quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vct.errors import HostError, RefusedError, UsageError
from vct.model.settings import Settings, load_settings
from vct.names import check_testbed_name
from vct.paths import Home, TestbedPaths

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Session:
    """The global options as given, and what follows from them."""

    options: dict[str, Any] = field(default_factory=dict)

    @property
    def as_json(self) -> bool:
        return bool(self.options.get("json"))

    @property
    def dry_run(self) -> bool:
        return bool(self.options.get("dry_run"))

    @property
    def yes(self) -> bool:
        return bool(self.options.get("yes"))

    @cached_property
    def settings(self) -> Settings:
        return load_settings()

    @property
    def home(self) -> Home:
        return self.settings.places

    @cached_property
    def out(self) -> Console:
        from rich.console import Console

        class Output(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # main knows what that means; rich would exit with 1

        # A pipe or a file has no width: do not cut tables to 80 columns there.
        width = None if sys.stdout.isatty() else 200
        return Output(highlight=False, soft_wrap=True, width=width)

    @cached_property
    def err(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def testbed_names(self) -> list[str]:
        """Testbeds that have a directory in the state root."""
        try:
            found = sorted(path.name for path in self.home.testbeds.iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []
        return found

    def testbed_name(self) -> str:
        """The testbed to act on: --testbed, the setting, or the only one there is."""
        chosen = self.options.get("testbed") or self.settings.testbed
        if chosen:
            return check_testbed_name(chosen)
        names = self.testbed_names()
        if len(names) == 1:
            return names[0]
        if not names:
            raise UsageError("there is no testbed yet", hint="make one: vct init FILE")
        raise UsageError(
            f"there are several testbeds: {', '.join(names)}", hint="say which: --testbed NAME"
        )

    def testbed(self) -> TestbedPaths:
        """The paths of the testbed to act on. Raises UsageError when it does not exist."""
        name = self.testbed_name()
        paths = self.home.testbed(name)
        if name not in self.testbed_names():
            have = ", ".join(self.testbed_names()) or "none"
            raise UsageError(f"there is no testbed {name}", hint=f"testbeds here: {have}")
        return paths

    def emit(self, data: object, text: Callable[[], object]) -> None:
        """The result: `data` as JSON, or what `text` returns, for people."""
        if self.as_json:
            click.echo(json.dumps(data, indent=2, ensure_ascii=False))
            return
        words = text()
        if isinstance(words, str):
            click.echo(words)  # without rich, which takes longer to load than many a command
        else:
            self.out.print(words)

    def say(self, words: str) -> None:
        """A line for people about what is going on."""
        self.err.print(words, markup=False)

    def confirm(self, question: str) -> None:
        """Go on only if the user says so. Without a terminal or --yes: RefusedError."""
        if self.yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise RefusedError(f"not confirmed: {question}", hint="confirm it with --yes")
        if not click.confirm(question, err=True):
            raise RefusedError("not confirmed, nothing was done")

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    def require_sight(self) -> None:
        """Become root, or say why looking takes it; see require_root."""
        self.require_root("only root sees inside network namespaces and containers")

    def require_root(self, reason: str) -> None:
        """Become root by running the same command under sudo, or say how.

        VCT_SUDO_ASK=NO leaves out the question, as in the original.
        """
        if self.is_root:
            return
        command = [sys.executable, "-m", "vct", *sys.argv[1:]]
        hint = f"run: sudo {Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}"
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise HostError(f"needs root: {reason}", hint=hint)
        asks = not self.yes and os.environ.get("VCT_SUDO_ASK", "YES").upper() != "NO"
        if asks and not click.confirm(
            f"This needs root: {reason}. Run it with sudo?", err=True, default=True
        ):
            raise HostError(f"needs root: {reason}", hint=hint)
        keep = ",".join(sorted(name for name in os.environ if name.startswith("VCT_")))
        os.execvp("sudo", ["sudo", *([f"--preserve-env={keep}"] if keep else []), *command])  # noqa: S606


def session() -> Session:
    """The session of the running command."""
    return click.get_current_context().find_root().ensure_object(Session)
