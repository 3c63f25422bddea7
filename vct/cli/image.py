"""`vct image`: the table of its commands, the options they share, and looking into the store.

The table is here; most commands are in modules of their own, loaded when they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vct.build import inputs, recipes, store, usage
from vct.cli.lazy import Entry, LazyGroup
from vct.cli.options import Command
from vct.cli.session import Session, session
from vct.errors import RefusedError, UsageError, VctError
from vct.model.recipe import ARCHITECTURES

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT_IMAGE = "node-debian"


# --- options that several commands have ----------------------------------------------------------


def complete_recipe(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    names = recipes.recipe_names(recipes.recipe_directories(None))
    return [name for name in names if name.startswith(incomplete)]


def complete_image(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        names = {name for name, _ in store.image_names(Session().home.images)}
    except VctError:  # the settings are wrong: whoever runs a command will be told
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def _checked_mirror(_ctx: click.Context, _param: click.Parameter, mirror: str) -> str:
    if mirror and not mirror.startswith(("http://", "https://")):
        raise UsageError(f"--mirror: {mirror!r} is not a URL", hint="write http://… or https://…")
    return mirror


ARCH = click.option(
    "--arch",
    type=click.Choice(ARCHITECTURES),
    default="amd64",
    show_default=True,
    envvar="VCT_ARCH",
    help="The architecture.",
)
RECIPES = click.option(
    "--recipes",
    "own_recipes",
    type=click.Path(path_type=Path),
    envvar="VCT_RECIPES",
    metavar="DIR",
    help="Look for recipes here first.",
)
MIRROR = click.option(
    "--mirror",
    default="",
    callback=_checked_mirror,
    envvar="VCT_MIRROR",
    metavar="URL",
    help="The Debian mirror, instead of the one that this host's apt uses.",
)
IMAGE = click.argument("image", metavar="IMAGE", shell_complete=complete_image)


# --- vct image -----------------------------------------------------------------------------------

COMMANDS: dict[str, Entry] = {
    "list": Entry("vct.cli.image", "List the images that are built.", "list_"),
    "info": Entry("vct.cli.image", "Show an image: what it was made from, what is in it."),
    "why": Entry("vct.cli.build", "Say which inputs of an image changed since it was built."),
    "run": Entry("vct.cli.image_run", "Run a container straight from an image."),
    "runs": Entry("vct.cli.image_run", "List or remove containers that run an image."),
    "verify": Entry("vct.cli.image_verify", "Build an image again and compare the two."),
    "lock": Entry("vct.cli.image_verify", "Write down what images were made of.", "lock_"),
    "sbom": Entry("vct.cli.image_verify", "Print an image's bill of materials (CycloneDX)."),
    "schema": Entry("vct.cli.image_verify", "Print the JSON Schema of recipe files."),
    "export": Entry("vct.cli.image_exchange", "Write an image to a file."),
    "import": Entry("vct.cli.image_exchange", "Take an image from a file or a server.", "import_"),
    "publish": Entry("vct.cli.image_exchange", "Write a directory that a web server can serve."),
    "remove": Entry("vct.cli.image", "Remove an image from the store."),
    "gc": Entry("vct.cli.image_gc", "Free what nothing uses.", "gc_"),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def image() -> None:
    """Make, list, look into and exchange images."""


@click.command(name="list", cls=Command)
def list_() -> None:
    """List the images that are built."""
    here = session()
    found = store.list_images(here.home.images)
    here.emit([_image_data(here, one) for one in found], lambda: _image_table(here, found))


def _image_data(here: Session, found: store.Image) -> dict[str, Any]:
    return {
        "name": found.name,
        "arch": found.arch,
        "digest": found.digest,
        "size_mib": found.size_mib,
        "built": found.built,
        "seconds": found.seconds,
        "format": found.format,
        "path": str(found.path),
        "used_by": usage.used_by(here.home.root, found.digest),
    }


def _image_table(here: Session, found: Sequence[store.Image]) -> Table | str:
    from rich.box import SIMPLE
    from rich.table import Table

    if not found:
        return f"no images are built; begin with: vct build {DEFAULT_IMAGE}"
    table = Table("image", "arch", "digest", "MiB", "built", "used by", box=SIMPLE)
    for one in found:
        users = usage.used_by(here.home.root, one.digest)
        table.add_row(
            one.name, one.arch, one.digest[:12], f"{one.size_mib:.0f}", one.built, _users(users)
        )
    return table


def _users(users: Sequence[str]) -> str:
    return users[0] if len(users) == 1 else f"{len(users)} containers" if users else ""


@click.command(cls=Command)
@IMAGE
@ARCH
def info(image: str, arch: str) -> None:
    """Show an image: where it is, what it was made from, what is in it."""
    here = session()
    found = store.find_image(here.home.images, image, arch)
    data = _image_data(here, found) | {
        "manifest": found.manifest,
        "packages": list(found.packages),
    }
    here.emit(data, lambda: _info_words(data))


def _info_words(data: dict[str, Any]) -> str:
    shown = {key: value for key, value in data.items() if key not in ("manifest", "packages")}
    shown["size_mib"] = f"{data['size_mib']:.0f}"
    shown["used_by"] = ", ".join(data["used_by"]) or "nobody"
    lines = [f"{key.replace('_', ' '):>9}  {value}" for key, value in shown.items()]
    lines += [f"{len(data['packages'])} packages:", *(f"  {one}" for one in data["packages"])]
    lines += ["made from:", *(f"  {line}" for line in inputs.render(data["manifest"]).splitlines())]
    return "\n".join(lines)


@click.command(cls=Command)
@IMAGE
@ARCH
def remove(image: str, arch: str) -> None:
    """Remove an image from the store. Refused while a node uses it."""
    here = session()
    found = store.find_image(here.home.images, image, arch)
    users = usage.used_by(here.home.root, found.digest)
    if users:
        raise RefusedError(
            f"image {image} for {arch} is used by {', '.join(users)}",
            hint="remove these first: vct cleanup --flush, vct image runs --remove NAME",
        )
    if here.dry_run:
        here.emit([_image_data(here, found)], lambda: f"would remove {found.path.parent}")
        return
    here.require_root("the image's files are root's")
    with store.lock(here.home.images, here.say):
        store.remove(here.home.images, found)
    here.emit(
        [_image_data(here, found)],
        lambda: f"removed {image} for {arch} ({found.size_mib:.0f} MiB)",
    )
