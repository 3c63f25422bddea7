"""`vct build` and `vct image why`: making images from recipes, and what would be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vct.build import builder, lock, plan, recipes, store
from vct.build.formats.output import (
    Output,
    Written,
    is_kept_otherwise,
    planned_outputs,
    write_output,
)
from vct.build.lock import Locked
from vct.build.plan import Planned
from vct.cli.build_progress import BuildProgress
from vct.cli.image import ARCH, DEFAULT_IMAGE, IMAGE, MIRROR, RECIPES, complete_recipe
from vct.cli.options import Command
from vct.cli.progress import StepProgress
from vct.cli.session import Session, session
from vct.drivers import node_keys
from vct.drivers.host import ensure_home, home_obstacle
from vct.errors import UsageError
from vct.model.recipe import ARCHITECTURES, Recipe

if TYPE_CHECKING:
    from rich.table import Table

BOTH = "all"
PUBLISHED_LEVEL = 15  # zstd: a tenth smaller than level 3 and seven times as slow to make


def _parameters(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text}: there is no value", hint="write --set NAME=VALUE")
        found[name] = value
    return found


SET = click.option(
    "--set",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parameters,
    help="Give a parameter of the recipes another value, such as suite=trixie.",
)


# --- vct build -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a command line of `vct build` asks for: its arguments and options."""

    names: tuple[str, ...]
    arch: str | None
    everything: bool
    no_cache: bool
    jobs: int | None
    publish: bool
    events: bool
    refresh: bool
    locked: Path | None
    output: Path | None
    parameters: dict[str, str]
    mirror: str
    own_recipes: Path | None

    def recipes(self) -> list[Recipe]:
        """The recipes, and those that they start from."""
        found = wanted_recipes(
            self.names, self.everything, self.arch, self.own_recipes, self.parameters
        )
        return [_packed_smaller(recipe) for recipe in found] if self.publish else found

    def asks_for(self, recipe: Recipe) -> bool:
        """Whether it is named, not only started from."""
        return self.everything or recipe.name in (self.names or (DEFAULT_IMAGE,))

    def locks(self, found: Sequence[Recipe]) -> dict[tuple[str, str], Locked] | None:
        """What the lock file says of these."""
        return lock.lock_of(self.locked, found) if self.locked else None


@click.command(cls=Command)
@click.argument("names", metavar="[IMAGE]...", nargs=-1, shell_complete=complete_recipe)
@click.option(
    "--arch",
    type=click.Choice([*ARCHITECTURES, BOTH]),
    envvar="VCT_ARCH",
    help="The architecture; amd64, with --all all that a recipe has.",
)
@click.option("--all", "everything", is_flag=True, help="Build all recipes.")
@click.option("--no-cache", is_flag=True, help="Build even what is there already.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    envvar="VCT_JOBS",
    metavar="N",
    help="How many images to build at a time; by default one for each CPU.",
)
@click.option("--publish", is_flag=True, help="Pack squashfs images smaller, which takes longer.")
@click.option("--events", is_flag=True, help="Print progress as JSON lines on stderr.")
@click.option("--refresh", is_flag=True, help="Fetch the mirror's package lists anew.")
@click.option(
    "--locked",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="VCT_LOCKED",
    metavar="FILE",
    help="Take the package versions of this lock file (vct image lock), no others.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write the images that are named here into DIR, in their recipes' formats.",
)
@SET
@MIRROR
@RECIPES
def build(**given: Any) -> None:
    """Build images from recipes, by default node-debian, and what they start from.

    Of an image only the layers from the first change on are made; without one, nothing is.
    """
    here, wish = session(), Wish(**given)
    found = wish.recipes()
    asked = [one for one in found if wish.asks_for(one)]
    outputs = planned_outputs(asked, wish.output) if wish.output else []
    _tell_left_out(here, wish.own_recipes, wish.parameters if wish.everything else None)
    locks = wish.locks(found)
    if here.dry_run:
        planned = planned_images(here, found, wish.mirror, no_cache=wish.no_cache, locks=locks)
        _tell_plan(here, planned, outputs)
        return
    here.require_root("images are made of files of root's")
    with BuildProgress(here, events=wish.events) as progress:
        results = builder.build(
            plan.wanted_images(found, wish.mirror, locks),
            images=here.home.images,
            progress=progress.report,
            no_cache=wish.no_cache,
            refresh=wish.refresh,
            jobs=wish.jobs or 0,
        )
        written = _write(here, outputs, progress)
    if any(one.kind == "controller" for one in asked):
        _make_keys(here)
    _tell_results(here, results, written)
    if wish.output is None:
        _tell_kept_otherwise(here, asked)


def _make_keys(here: Session) -> None:
    """Whoever builds a controller will enrol nodes. Their tinc keys take longer to make than all
    else that is to be done for them: some are made ahead."""
    home = here.home
    if home.images.is_relative_to(home.root) and not home_obstacle(home):
        ensure_home(home)
        with StepProgress(here) as progress:
            words = f"making tinc keys for {node_keys.POOL} nodes, once"
            node_keys.fill(home.key_pool, node_keys.POOL, lambda _count: progress.saying(words))


def _write(here: Session, outputs: Sequence[Output], progress: BuildProgress) -> list[Written]:
    if not outputs:
        return []
    images = here.home.images
    with store.lock_for_build(images, here.say):
        return [write_output(images, one, report=progress.report) for one in outputs]


def _tell_kept_otherwise(here: Session, asked: Sequence[Recipe]) -> None:
    """What a recipe asks for and the store does not keep."""
    for one in asked:
        if is_kept_otherwise(one):
            words = f"vct build {one.name} --arch {one.arch} --output DIR"
            here.say(f"{one.name} is kept as a directory; to write its {one.output}: {words}")


def _tell_results(
    here: Session, results: Sequence[builder.BuildResult], written: Sequence[Written]
) -> None:
    places = {(one.output.name, one.output.arch): str(one.output.target) for one in written}
    lines = [_result_line(result) for result in results]
    lines += [_written_line(one) for one in written]
    data = [
        _result_data(result) | {"output": places.get((result.name, result.arch))}
        for result in results
    ]
    here.emit(data, lambda: "\n".join(lines))


def _written_line(written: Written) -> str:
    output = written.output
    verb = "written to" if written.new else "is there already:"
    return f"{output.name} for {output.arch}: {verb} {output.target}"


def _packed_smaller(recipe: Recipe) -> Recipe:
    if recipe.output != store.SQUASHFS:
        return recipe
    return replace(recipe, compression=max(recipe.compression, PUBLISHED_LEVEL))


def _tell_plan(here: Session, planned: Sequence[Planned], outputs: Sequence[Output]) -> None:
    for one in outputs:
        here.say(f"would write {one.name} for {one.arch} to {one.target}")
    here.emit([_planned_data(one) for one in planned], lambda: _plan_table(planned))


def _tell_left_out(here: Session, own: Path | None, parameters: dict[str, str] | None) -> None:
    """Which of all recipes need parameters that were not given; None is not for all recipes."""
    if parameters is None:
        return
    _, left_out = recipes.names_for_all(recipes.recipe_directories(own), parameters)
    for name, reason in left_out.items():
        here.say(f"{name} is left out: it {reason}")


def _result_data(result: builder.BuildResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "arch": result.arch,
        "digest": result.digest,
        "cached": result.cached,
        "seconds": result.seconds,
        "left_out": list(result.left_out),
    }


def _result_line(result: builder.BuildResult) -> str:
    what = "is there already" if result.cached else f"built in {result.seconds:.1f} s"
    less = f", without {' and '.join(result.left_out)}" if result.left_out else ""
    return f"{result.name} for {result.arch}: {what} ({result.digest[:12]}){less}"


# --- which images --------------------------------------------------------------------------------


def wanted_recipes(
    names: Sequence[str],
    everything: bool,
    arch: str | None,
    own: Path | None,
    parameters: dict[str, str],
) -> list[Recipe]:
    """The recipes that a command line asks for, for each architecture, parents first."""
    directories = recipes.recipe_directories(own)
    both = arch == BOTH or (everything and arch is None)
    found: list[Recipe] = []
    for one in ARCHITECTURES if both else (arch or ARCHITECTURES[0],):
        here = list(names) or [DEFAULT_IMAGE]
        if everything:
            here, _ = recipes.names_for_all(directories, parameters)
        if everything or both:
            here = [
                name
                for name in here
                if one in recipes.find_recipe(name, directories, one, parameters).architectures
            ]
        found += recipes.with_parents(here, one, directories, parameters)
    return found


def planned_images(
    here: Session,
    found: Sequence[Recipe],
    mirror: str,
    *,
    no_cache: bool = False,
    locks: Mapping[tuple[str, str], Locked] | None = None,
) -> list[Planned]:
    """What a build of these recipes would do."""
    images = plan.wanted_images(found, mirror, locks)
    return plan.plan_build(images, plan.observe(here.home.images, images), no_cache=no_cache)


def _planned_data(planned: Planned) -> dict[str, Any]:
    return {
        "name": planned.wanted.name,
        "arch": planned.wanted.arch,
        "digest": planned.wanted.digest,
        "action": planned.action,
        "reason": planned.reason,
        "changes": list(planned.changes),
        "layers": [
            {"layer": one.label, "key": one.key, "action": one.action, "reason": one.reason}
            for one in planned.layers
        ],
    }


def _plan_table(images: Sequence[Planned]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("image", "arch", "action", "reason", box=SIMPLE)
    for planned in images:
        want = planned.wanted
        table.add_row(want.name, want.arch, planned.action, planned.reason)
    return table


# --- vct image why -------------------------------------------------------------------------------


@click.command(cls=Command)
@IMAGE
@ARCH
@SET
@MIRROR
@RECIPES
def why(
    image: str, arch: str, parameters: dict[str, str], mirror: str, own_recipes: Path | None
) -> None:
    """Say what changed since an image, and those it starts from, were built, layer by layer."""
    here = session()
    found = wanted_recipes([image], False, arch, own_recipes, parameters)
    planned = planned_images(here, found, mirror)
    here.emit(
        [_planned_data(one) for one in planned],
        lambda: "\n".join(line for one in planned for line in _why_lines(one)),
    )


def _why_lines(planned: Planned) -> list[str]:
    title = f"{planned.wanted.name} for {planned.wanted.arch}"
    if planned.action != "build":
        changed = [f"  {line}" for line in planned.changes]
        return [f"{title}: {planned.reason}", *changed]
    words = "changed since it was built" if planned.changes else planned.reason
    width = max(len(one.label) for one in planned.layers)
    return [
        f"{title}: {words}",
        *(f"  {one.label:<{width}}  {one.action:<5}  {one.reason}" for one in planned.layers),
        *(f"  {line}" for line in planned.changes if _of_the_image(line)),
    ]


def _of_the_image(change: str) -> bool:
    """Changes that no layer tells of: how the image is called or kept."""
    return change.split(":")[0] in ("name", "kind", "version", "output", "compression", "from")
