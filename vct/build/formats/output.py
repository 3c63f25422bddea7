"""What `vct build --output` writes: the images that were asked for, in their recipes' own formats.

The store keeps a directory or a squashfs; tar.zst and images for LXC and Incus are exports, made
from it. What is wrong with a recipe's format or with the place is told before anything is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vct.build import store
from vct.build.events import Report
from vct.build.formats import description, export
from vct.build.formats.description import Description
from vct.errors import RefusedError, UsageError, VctError
from vct.model.recipe import Recipe

COMPRESSION = "output.compression"  # the recipe's key


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One image to be written to `target`. `level` None is the format's own."""

    name: str
    arch: str
    format: str
    target: Path
    level: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where an image is written. `new`: now; else the same one was there."""

    output: Output
    new: bool


def is_kept_otherwise(recipe: Recipe) -> bool:
    """Whether the store keeps a recipe's image in another format than the recipe says."""
    return recipe.output not in store.ARTEFACTS


def planned_outputs(recipes: Sequence[Recipe], directory: Path) -> list[Output]:
    """What is to be written for these recipes.

    Raises UsageError when the directory is not there, InputError for a level of compression that
    the format has not, RefusedError when a place is taken by something else.
    """
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}", hint="make it first")
    found = [_output(recipe, directory.absolute()) for recipe in recipes]
    for output in found:
        _described(output)
    return found


def _output(recipe: Recipe, directory: Path) -> Output:
    # The store's squashfs is packed as the recipe says: it is only copied.
    wanted = recipe.output not in store.ARTEFACTS and COMPRESSION in recipe.places
    level = recipe.compression if wanted else None
    try:
        export.check_level(recipe.output, level)
    except UsageError as error:
        raise recipe.error(COMPRESSION, error.message, hint=error.hint) from None
    return Output(
        name=recipe.name,
        arch=recipe.arch,
        format=recipe.output,
        target=directory / export.default_name(recipe.name, recipe.arch, recipe.output),
        level=level,
    )


def _described(output: Output) -> Description | None:
    """What is there already, from an earlier time; None if nothing is. Raises RefusedError."""
    target = output.target
    if not (target.exists() or target.is_symlink()):
        return None
    single = export.FORMATS[output.format].single
    beside = target.with_name(target.name + description.SUFFIX)
    file = beside if single else target / description.INSIDE
    try:
        found = description.parse(file.read_bytes(), str(file))
    except (OSError, VctError):
        found = None
    if found is None or (found.name, found.arch, found.format) != (
        output.name,
        output.arch,
        output.format,
    ):
        raise RefusedError(
            f"{target} is there already and is not what vct build would write",
            hint="remove it, or choose another place: --output DIR",
        )
    return found


def write_output(images: Path, output: Output, *, report: Report) -> Written:
    """Write an image of the store. Needs root and the store's lock.

    Left alone is what was written from this making of the image; raises RefusedError when it was
    another one.
    """
    image = store.find_image(images, output.name, output.arch)
    there = _described(output)
    if there is None:
        target = export.target_of(output.name, output.arch, output.format, output.target)
        export.export(image, format=output.format, target=target, level=output.level, report=report)
    elif (there.digest, there.built) != (image.digest, image.built):
        raise RefusedError(
            f"{output.target} is an earlier {output.name}, built {there.built}",
            hint="remove it, or choose another place: --output DIR",
        )
    return Written(output=output, new=there is None)
