"""`vct build` and `vct image`: making images from recipes, looking into them, removing them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from vct.build import builder, inputs, plan, recipes, store
from vct.build.builder import Progress
from vct.build.plan import Planned
from vct.cli.options import Command, Group
from vct.cli.session import Session, session
from vct.errors import RefusedError, UsageError, VctError
from vct.model.recipe import ARCHITECTURES, Recipe

if TYPE_CHECKING:
    from rich.status import Status
    from rich.table import Table

DEFAULT_IMAGE = "node-debian"
QUIET_S = 2.0  # what is over sooner needs no progress


# --- options that several commands have ----------------------------------------------------------


def _complete_recipe(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    names = recipes.recipe_names(recipes.recipe_directories(None))
    return [name for name in names if name.startswith(incomplete)]


def _complete_image(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        names = {name for name, _ in store.image_names(Session().home.images)}
    except VctError:  # the settings are wrong: whoever runs a command will be told
        return []
    return sorted(name for name in names if name.startswith(incomplete))


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
    envvar="VCT_MIRROR",
    metavar="URL",
    help="The Debian mirror, instead of the one that this host's apt uses.",
)
IMAGE = click.argument("image", metavar="IMAGE", shell_complete=_complete_image)


# --- vct build -----------------------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("names", metavar="[IMAGE]...", nargs=-1, shell_complete=_complete_recipe)
@ARCH
@click.option("--all", "everything", is_flag=True, help="Build all recipes for the architecture.")
@click.option("--no-cache", is_flag=True, help="Build even what is there already.")
@MIRROR
@RECIPES
def build(
    names: tuple[str, ...],
    arch: str,
    everything: bool,
    no_cache: bool,
    mirror: str,
    own_recipes: Path | None,
) -> None:
    """Build images from recipes; by default node-debian. What an image starts from is built too.

    An image whose inputs have not changed is there already and is not built again.
    """
    here = session()
    _check_mirror(mirror)
    wanted = _recipes(names, everything, arch, own_recipes)
    if here.dry_run:
        planned = _plan(here, wanted, arch, mirror, no_cache=no_cache)
        here.emit([_planned_data(one) for one in planned], lambda: _plan_table(planned))
        return
    here.require_root("images are made of files of root's")
    with BuildProgress(here) as progress:
        results = builder.build(
            wanted,
            arch=arch,
            images=here.home.images,
            progress=progress.report,
            mirror=mirror,
            no_cache=no_cache,
        )
    data = [
        {
            "name": result.name,
            "arch": result.arch,
            "digest": result.digest,
            "cached": result.cached,
            "seconds": result.seconds,
        }
        for result in results
    ]
    here.emit(data, lambda: "\n".join(_result_line(result) for result in results))


def _result_line(result: builder.BuildResult) -> str:
    what = "is there already" if result.cached else f"built in {result.seconds:.1f} s"
    return f"{result.name} for {result.arch}: {what} ({result.digest[:12]})"


def _check_mirror(mirror: str) -> None:
    if mirror and not mirror.startswith(("http://", "https://")):
        raise UsageError(f"--mirror: {mirror!r} is not a URL", hint="write http://… or https://…")


def _recipes(names: Sequence[str], everything: bool, arch: str, own: Path | None) -> list[Recipe]:
    directories = recipes.recipe_directories(own)
    if everything:
        found = (
            recipes.find_recipe(name, directories) for name in recipes.recipe_names(directories)
        )
        names = [recipe.name for recipe in found if arch in recipe.architectures]
    return recipes.with_parents(list(names) or [DEFAULT_IMAGE], arch, directories)


def _plan(
    here: Session, wanted: list[Recipe], arch: str, mirror: str, *, no_cache: bool
) -> list[Planned]:
    images = plan.wanted_images(wanted, arch, mirror)
    seen = plan.seen_images(here.home.images, images)
    return plan.plan_build(images, seen, no_cache=no_cache)


def _planned_data(planned: Planned) -> dict[str, Any]:
    return {
        "name": planned.wanted.recipe.name,
        "arch": planned.wanted.arch,
        "digest": planned.wanted.digest,
        "action": planned.action,
        "reason": planned.reason,
        "changes": list(planned.changes),
    }


def _plan_table(images: Sequence[Planned]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("image", "arch", "action", "reason", box=SIMPLE)
    for planned in images:
        table.add_row(
            planned.wanted.recipe.name, planned.wanted.arch, planned.action, planned.reason
        )
    return table


class BuildProgress:
    """Shows steps that take longer than QUIET_S: a live line on a terminal, lines elsewhere."""

    def __init__(self, here: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._here, self._clock, self._began = here, clock, clock()
        self._status: Status | None = None

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def report(self, event: Progress) -> None:
        """A step began or ended."""
        words = f"{event.image} for {event.arch}: {event.step}"
        if event.done:
            if event.seconds >= QUIET_S:
                self._here.say(f"{words}: {event.seconds:.1f} s")
        elif self._here.err.is_terminal:
            if self._status is None:
                self._status = self._here.err.status("")
                self._status.start()
            self._status.update(words)
        elif event.lasting:
            self._here.say(words)


# --- vct image -----------------------------------------------------------------------------------


@click.group(cls=Group)
def image() -> None:
    """List and look into images."""


@image.command(name="list")
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
        "root": str(found.root),
        "used_by": store.used_by(here.home.testbeds, found.digest),
    }


def _image_table(here: Session, found: Sequence[store.Image]) -> Table | str:
    from rich.box import SIMPLE
    from rich.table import Table

    if not found:
        return f"no images are built; begin with: vct build {DEFAULT_IMAGE}"
    table = Table("image", "arch", "digest", "MiB", "built", "used by", box=SIMPLE)
    for one in found:
        users = store.used_by(here.home.testbeds, one.digest)
        table.add_row(
            one.name, one.arch, one.digest[:12], f"{one.size_mib:.0f}", one.built, _users(users)
        )
    return table


def _users(users: Sequence[str]) -> str:
    return users[0] if len(users) == 1 else f"{len(users)} nodes" if users else ""


@image.command()
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
    shown["used_by"] = ", ".join(data["used_by"]) or "no node"
    lines = [f"{key.replace('_', ' '):>9}  {value}" for key, value in shown.items()]
    lines += [f"{len(data['packages'])} packages:", *(f"  {one}" for one in data["packages"])]
    lines += ["made from:", *(f"  {line}" for line in inputs.render(data["manifest"]).splitlines())]
    return "\n".join(lines)


@image.command()
@IMAGE
@ARCH
@MIRROR
@RECIPES
def why(image: str, arch: str, mirror: str, own_recipes: Path | None) -> None:
    """Say which inputs of an image, and of those it starts from, changed since it was built."""
    here = session()
    _check_mirror(mirror)
    wanted = _recipes([image], False, arch, own_recipes)
    planned = _plan(here, wanted, arch, mirror, no_cache=False)
    here.emit(
        [_planned_data(one) for one in planned],
        lambda: "\n".join(line for one in planned for line in _why_lines(one)),
    )


def _why_lines(planned: Planned) -> list[str]:
    title = f"{planned.wanted.recipe.name} for {planned.wanted.arch}"
    if planned.changes:
        return [f"{title}: changed since it was built:", *(f"  {line}" for line in planned.changes)]
    return [f"{title}: {planned.reason}"]


@image.command()
@IMAGE
@ARCH
def remove(image: str, arch: str) -> None:
    """Remove an image from the store. Refused while a node uses it."""
    here = session()
    found = store.find_image(here.home.images, image, arch)
    users = store.used_by(here.home.testbeds, found.digest)
    if users:
        raise RefusedError(
            f"image {image} for {arch} is used by {', '.join(users)}",
            hint="remove these testbeds first: vct cleanup --flush",
        )
    if here.dry_run:
        here.emit([_image_data(here, found)], lambda: f"would remove {found.root.parent}")
        return
    here.require_root("the image's files are root's")
    with store.lock(here.home.images, here.say):
        store.remove(here.home.images, found)
    here.emit(
        [_image_data(here, found)],
        lambda: f"removed {image} for {arch} ({found.size_mib:.0f} MiB)",
    )
