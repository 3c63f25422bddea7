"""The entry point: the table of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import click

from vct import __version__
from vct.cli.lazy import Entry, LazyGroup
from vct.cli.options import global_options
from vct.cli.session import Session
from vct.errors import HostError, InterruptedByUser, NotReadyError, VctError, system_error

COMMANDS: dict[str, Entry] = {
    "doctor": Entry("vct.cli.doctor", "Check this host; --fix repairs what can be repaired."),
    "install": Entry("vct.cli.doctor", "Install what vct needs on this host."),
    "build": Entry("vct.cli.build", "Build images from recipes."),
    "init": Entry("vct.cli.testbed", "Bring a testbed to what its file says."),
    "status": Entry("vct.cli.testbed", "Show what runs."),
    "demo": Entry("vct.cli.testbed", "Ping every neighbour over its link and show the result."),
    "cleanup": Entry("vct.cli.testbed", "Stop a testbed and remove it from the host."),
    "purge": Entry("vct.cli.testbed", "Remove all testbeds, images and state."),
    "image": Entry("vct.cli.image", "List and look into images."),
    "node": Entry("vct.cli.node", "Start, stop, enter and look into nodes."),
    "link": Entry("vct.cli.link", "Look at links."),
    "controller": Entry("vct.cli.controller", "The registry: state, logs, users, data."),
    "tinc": Entry("vct.cli.tinc", "Files for tinc daemons outside of a testbed."),
    "topology": Entry("vct.cli.topology", "Check testbed files."),
    "completion": Entry("vct.cli.completion", "Print shell completion for bash, zsh or fish."),
}


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    name="vct",
    params=global_options(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="vct")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A Virtual CONFINE Testbed on this PC: nodes in containers, imperfect links between them.

    First steps: `vct doctor`, `vct build node-debian`, `vct init FILE`, `vct status`.
    """
    verbose = ctx.ensure_object(Session).options.get("verbose", 0)
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)


def main() -> None:
    """Run the command line and exit with the code of DESIGN section 12."""
    _prepare()
    session = Session()
    try:
        code = cli.main(standalone_mode=False, obj=session, prog_name="vct")
    except VctError as error:
        code = _report(session, error)
    except click.exceptions.Abort:
        code = _report(session, InterruptedByUser("interrupted"))
    except KeyboardInterrupt:
        code = _report(session, InterruptedByUser("interrupted"))
    except SystemExit as stop:  # click's way out when the reader (head, less) went away
        code = 0 if type(sys.stdout) is click.utils.PacifyFlushWrapper else stop.code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = _report_usage(session, error)
    except BrokenPipeError:  # the reader (head, less) went away: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        code = _report(session, system_error(error))
    except ImportError as error:
        code = _report(session, _not_importable(error))
    sys.exit(_flushed(session, code if isinstance(code, int) else 0))


def _prepare() -> None:
    """Make signals exceptions, and make sure that there is something to write to."""
    for number in SIGNALS:
        # Under nohup a closed terminal must not matter.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started vct
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - until the end


def _flushed(session: Session, code: int) -> int:
    """The exit code, when all that was said has been written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try it once more at its end, and say so with a traceback of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or (
            0 if isinstance(error, BrokenPipeError) else _report(session, system_error(error))
        )
    return code


def _not_importable(error: ImportError) -> HostError:
    if error.name in ("lxc", "_lxc") or "lxc" in str(error):
        return HostError("this Python cannot import python3-lxc", hint="run: vct doctor --fix")
    return HostError(
        f"this Python lacks a module: {error}", hint="install vct again: make clean demo"
    )


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _report(session: Session, error: VctError) -> int:
    if session.as_json:
        document: dict[str, Any] = {
            "error": type(error).__name__,
            "exit_code": error.exit_code,
            "message": error.message,
            "hint": error.hint,
            **error.details(),
        }
        with suppress(OSError):  # stdout may be what failed
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    click.echo(click.style("vct: ", fg="red", bold=True) + error.message, err=True)
    seen = error.seen if isinstance(error, NotReadyError) else {}
    for node, words in seen.items():
        click.echo(f"  node {node}: {words}".replace("\n", "\n    "), err=True)
    for line in error.hint.splitlines():
        click.echo(f"  {line}", err=True)
    return error.exit_code


def _report_usage(session: Session, error: click.ClickException) -> int:
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "vct"
    usage = VctError(error.format_message(), hint=f"see: {command} --help")
    usage.exit_code = 2
    return _report(session, usage)
