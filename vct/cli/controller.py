"""`vct controller`: the testbed's registry: its state, logs, users and data."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vct.cli.options import Command, Group
from vct.cli.progress import StepProgress
from vct.cli.session import session

PASS_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": False}
USERNAME = click.argument("username")


@click.group(cls=Group)
def controller() -> None:
    """The testbed's controller: registry of nodes, slices and users."""


@controller.command()
def status() -> None:
    """Show whether the controller works, and where it is."""
    from vct.verbs import controller as verbs

    here = session()
    here.require_sight()
    found = verbs.status(here.home, here.testbed())
    here.emit(found, lambda: "\n".join(f"{name:13} {value}" for name, value in found.items()))


@controller.command()
@click.option("--lines", "-n", type=click.IntRange(1), default=50, help="How many; 50.")
@click.option("--follow", "-f", is_flag=True, help="Go on as it is written; Ctrl-C ends it.")
def log(lines: int, follow: bool) -> None:
    """Print the end of the controller's log."""
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("the log is inside a container")
    sys.exit(verbs.enter(here.testbed(), verbs.log_command(lines, follow=follow)))


@controller.command(context_settings=PASS_ON)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(command: tuple[str, ...]) -> None:
    """Open a root shell in the controller, or run COMMAND (after --) there.

    `vct-controller` in it runs the controller's own commands: `vct-controller shell` is Python
    with its data at hand.
    """
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("a container is entered")
    words = command[1:] if command[:1] == ("--",) else command
    sys.exit(verbs.enter(here.testbed(), words))


@controller.command()
@click.argument("username", required=False)
def token(username: str | None) -> None:
    """Issue an API token for a user; without a name, for the first administrator.

    Send it as `Authorization: Token …`. It is shown once; only its digest is kept.
    """
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("the controller's own command is run")
    paths = here.testbed()
    verbs.require_controller(paths)
    answer = verbs.tell(paths, "account", "token", username or verbs.ADMINISTRATOR)
    here.emit(answer, lambda: answer["token"])


@controller.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
def backup(file: Path, replace: bool) -> None:
    """Write all data of the controller to FILE, while it goes on working.

    The file holds secrets: it is made for root only.
    """
    from vct.verbs import controller_data as verbs

    here = session()
    here.require_root("the controller's data is root's")
    written = verbs.backup(here.testbed(), file, replace=replace)
    document = {"file": str(written.file), "octets": written.octets}
    here.emit(document, lambda: f"{written.file}: {written.octets / 1e6:.1f} MB")


@controller.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore(file: Path) -> None:
    """Put the data of a backup in the place of the controller's.

    Either all of it is put in place or nothing. Afterwards, `vct init` adds what the testbed has
    and the backup has not.
    """
    from vct.verbs import controller_data as verbs

    here = session()
    here.require_root("the controller's data is root's")
    paths = here.testbed()
    here.confirm(f"Replace all data of the controller of {paths.name} by {file}?")
    verbs.restore(paths, file, here.settings.ready_timeout_s)
    here.emit({"restored": str(file)}, lambda: f"restored from {file}; next: vct init")


@controller.command()
def reset() -> None:
    """Delete the controller with all its data; `vct init` makes a new one."""
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("the controller's disk is deleted")
    paths = here.testbed()
    verbs.require_controller(paths, running=False)
    here.confirm(f"Delete all data of the controller of {paths.name}?")
    with StepProgress(here) as progress:
        verbs.reset(here.home, paths, progress.step)
    here.emit({"reset": paths.name}, lambda: "the controller is gone; make a new one: vct init")


@controller.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help="On 127.0.0.1; 8000.")
def serve(directory: Path, port: int) -> None:
    """Run a controller for development, without containers and without root.

    Its data (SQLite, files, settings with secrets of its own) is in DIRECTORY, made if need be.
    It starts again when its source files change. Ctrl-C ends it.
    """
    from vct.verbs import controller_serve as verbs

    here = session()
    served = verbs.prepare(directory)
    for line in verbs.words(served, port):
        here.say(line)
    sys.exit(verbs.serve(served, port))


@controller.group(cls=Group)
def user() -> None:
    """Who may log in to the controller."""


@user.command()
@USERNAME
@click.option("--email", default="", help="<username>@localhost unless given.")
@click.option("--superuser", is_flag=True, help="May do everything.")
def add(username: str, email: str, superuser: bool) -> None:
    """Add a user, with a password that is made and shown once."""
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("the controller's own command is run")
    paths = here.testbed()
    verbs.require_controller(paths)
    words = ["--superuser"] if superuser else []
    answer = verbs.tell(paths, "account", "add", username, "--email", email, *words)
    here.emit(answer, lambda: f"{username}: password {answer['password']}")


@user.command()
@USERNAME
def password(username: str) -> None:
    """Give a user another password; it is made and shown once."""
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("the controller's own command is run")
    answer = verbs.new_password(here.testbed(), username)
    here.emit(answer, lambda: f"{username}: password {answer['password']}")


@user.command(name="list", cls=Command)
def list_users() -> None:
    """List the users who can log in."""
    from vct.verbs import controller as verbs

    here = session()
    here.require_root("the controller's own command is run")
    paths = here.testbed()
    verbs.require_controller(paths)
    users = verbs.tell(paths, "account", "list")
    here.emit(users, lambda: "\n".join(_user_words(one) for one in users))


def _user_words(user: dict[str, Any]) -> str:
    rights = "superuser" if user["superuser"] else "user"
    inactive = "" if user["active"] else ", not active"
    return f"{user['username'] or '-'}: {user['name']} <{user['email']}>, {rights}{inactive}"


def registered_document(found: Any) -> dict[str, Any]:
    """What `vct init --json` says of the controller; the password only when it was made."""
    made = {k: v for k, v in asdict(found.made).items() if k != "token"} if found.made else {}
    return {
        "url": found.url,
        "registered": list(found.told),
        "left_out": dict(found.enrolled.left_out),
        "credentials": str(found.credentials),
        **made,
    }


def registered_words(found: Any) -> list[str]:
    """The same for people."""
    lines = [f"controller: {found.url}"]
    if found.told:
        lines.append(f"  told: {', '.join(found.told)}")
    else:
        lines.append("  knows this testbed already: nothing to tell")
    for node, why in found.enrolled.left_out.items():
        lines.append(f"  node {node} stays out: {why}")
    if found.made:
        lines += [
            f"  log in as {found.made.username} with password {found.made.password}",
            f"  this is shown once; it is kept in {found.credentials}",
        ]
    return lines
