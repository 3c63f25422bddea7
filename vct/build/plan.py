"""What is to be built: the images that recipes stand for, those in the store, and the difference.

`wanted_images` reads recipes' files and the host's mirror, `seen_images` the store; `plan_build` is
pure. The builder does what the plan says, the command line prints it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vct.build import apt, inputs, store
from vct.errors import VctError
from vct.model.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An image that should be there, and the identity that its inputs give it."""

    recipe: Recipe
    arch: str
    manifest: inputs.Manifest
    digest: str
    sources: tuple[apt.AptSource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What will be done for one image: `cached`, `name` (only its name moves) or `build`, and why.

    `changes` are the inputs that differ from the image that has the name now.
    """

    wanted: Wanted
    action: str
    reason: str
    changes: tuple[str, ...] = ()


def wanted_images(recipes: Iterable[Recipe], arch: str, mirror: str = "") -> list[Wanted]:
    """The images that these recipes (parents first) stand for on this host.

    `mirror` is used instead of the recipes' own. Raises HostError without a mirror.
    """
    found: dict[str, Wanted] = {}
    for recipe in recipes:
        sources: tuple[apt.AptSource, ...] = ()
        tools: dict[str, str] = {}
        if recipe.bootstrap is not None:
            chosen = mirror or recipe.bootstrap.mirror
            sources = apt.sources(recipe.bootstrap.suite, chosen, recipe.bootstrap.components)
            tools = {"mmdebstrap": apt.package_version("mmdebstrap")}
        parent = found[recipe.parent].digest if recipe.parent else None
        manifest = inputs.manifest(recipe, arch, parent=parent, sources=sources, tools=tools)
        found[recipe.name] = Wanted(
            recipe=recipe,
            arch=arch,
            manifest=manifest,
            digest=inputs.digest(manifest),
            sources=sources,
        )
    return list(found.values())


def seen_images(images: Path, wanted: Iterable[Wanted]) -> dict[str, store.Image]:
    """The images that are there: by digest those of `wanted`, by `name.arch` those named now."""
    seen = {}
    for want in wanted:
        try:
            named = store.find_image(images, want.recipe.name, want.arch)
            seen[f"{named.name}.{named.arch}"] = named
        except VctError:  # not built, or damaged: as if it were not there
            pass
        try:
            seen[want.digest] = store.read_image(images, want.digest)
        except (FileNotFoundError, NotADirectoryError, VctError):
            continue
    return seen


def plan_build(
    wanted: Iterable[Wanted], seen: dict[str, store.Image], *, no_cache: bool = False
) -> list[Planned]:
    """What to do for each image, with the reason. Pure."""
    plan = []
    for want in wanted:
        named = seen.get(f"{want.recipe.name}.{want.arch}")
        changes = tuple(inputs.differences(named.manifest, want.manifest)) if named else ()
        if no_cache:
            action, reason = "build", "asked for: --no-cache"
        elif want.digest not in seen:
            action = "build"
            reason = "; ".join(changes) if named else "not built yet"
        elif named is None or named.digest != want.digest:
            action, reason = "name", "built before from the same inputs"
        else:
            action, reason = "cached", "all inputs are the same"
        plan.append(Planned(wanted=want, action=action, reason=reason, changes=changes))
    return plan
