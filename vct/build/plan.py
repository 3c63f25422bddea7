"""What is to be built: the images that recipes stand for, those in the store, and the difference.

`wanted_images` reads recipes' files and the host's mirror, `observe` the store; `plan_build` is
pure. The builder does what the plan says, the command line prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from vct.build import apt, inputs, layers, record, store
from vct.build import cache as layer_cache
from vct.build.layers import Layer, LayerPlan
from vct.build.lock import Locked
from vct.errors import VctError
from vct.model.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An image that should be there, and the identity that its inputs give it.

    `sources` are those of the bootstrap at the bottom, `check_dates` whether their Release files
    may not be expired. `parent` is the parent's digest, or None. `locked` pins the packages.
    """

    recipe: Recipe
    manifest: inputs.Manifest
    digest: str
    layers: tuple[Layer, ...]
    sources: tuple[apt.AptSource, ...] = ()
    check_dates: bool = True
    parent: str | None = None
    locked: Locked | None = None

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def arch(self) -> str:
        return self.recipe.arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What will be done for one image: `cached`, `name` (only its name moves) or `build`, and why.

    `changes` are the inputs that differ from the image that has the name now.
    """

    wanted: Wanted
    action: str
    reason: str
    changes: tuple[str, ...] = ()
    layers: tuple[LayerPlan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is in the store: images by digest, those that have a name by `name.arch`, and the keys
    of the layers that can be built on. `stale` are images, by digest, for which the mirror should
    be looked at again, and why."""

    images: Mapping[str, store.Image] = field(default_factory=dict)
    named: Mapping[str, store.Image] = field(default_factory=dict)
    layers: frozenset[str] = frozenset()
    stale: Mapping[str, str] = field(default_factory=dict)


# --- wanted --------------------------------------------------------------------------------------


def wanted_images(
    recipes: Iterable[Recipe],
    mirror: str = "",
    locks: Mapping[tuple[str, str], Locked] | None = None,
) -> list[Wanted]:
    """The images that these recipes (parents first) stand for on this host.

    `mirror` is used instead of the recipes' own; `locks`, by name and architecture, pin packages.
    Raises HostError without a mirror.
    """
    version = cache(apt.package_version)
    found: dict[tuple[str, str], Wanted] = {}
    for recipe in recipes:
        parent = found[recipe.parent, recipe.arch] if recipe.parent else None
        found[recipe.name, recipe.arch] = _wanted(
            recipe, parent, mirror, version, (locks or {}).get((recipe.name, recipe.arch))
        )
    return list(found.values())


def _wanted(
    recipe: Recipe,
    parent: Wanted | None,
    mirror: str,
    version: Callable[[str], str],
    locked: Locked | None,
) -> Wanted:
    sources: tuple[apt.AptSource, ...] = ()
    tools: dict[str, str] = {}
    check_dates = parent.check_dates if parent else True
    if recipe.bootstrap is not None:
        sources = apt.bootstrap_sources(recipe.bootstrap, mirror)
        tools = {"mmdebstrap": version("mmdebstrap")}
        check_dates = apt.checks_dates(recipe.bootstrap)
    manifest = inputs.manifest(
        recipe,
        recipe.arch,
        parent=parent.digest if parent else None,
        sources=sources,
        tools=tools,
        lock=locked.digest if locked else "",
    )
    return Wanted(
        recipe=recipe,
        manifest=manifest,
        digest=inputs.digest(manifest),
        layers=layers.layers_of(manifest, [run.key for run in recipe.run]),
        sources=parent.sources if parent else sources,
        check_dates=check_dates,
        parent=parent.digest if parent else None,
        locked=locked,
    )


# --- seen ----------------------------------------------------------------------------------------


def observe(images: Path, wanted: Iterable[Wanted], *, refresh: bool = False) -> Seen:
    """What of the wanted images, of those that have their names, and of their layers is there.

    With `refresh`, images are stale at once if the mirror could not serve all for them.
    """
    found: dict[str, store.Image] = {}
    named: dict[str, store.Image] = {}
    usable: set[str] = set()
    stale: dict[str, str] = {}
    for want in wanted:
        image = store.look_up(images, want.digest)
        if image is not None:
            found[want.digest] = image
            stale[want.digest] = record.stale(image, refresh=refresh)
        with suppress(VctError):  # not built, or damaged: as if it were not there
            named[f"{want.name}.{want.arch}"] = store.find_image(images, want.name, want.arch)
        parent = store.look_up(images, want.parent) if want.parent else None
        ground = parent.made if parent else ""
        if parent or want.parent is None:
            kept = layer_cache.find_layers(images, want.layers, ground)
            usable.update(layer.key for layer in kept)
    return Seen(images=found, named=named, layers=frozenset(usable), stale=stale)


# --- the difference ------------------------------------------------------------------------------


def plan_build(wanted: Iterable[Wanted], seen: Seen, *, no_cache: bool = False) -> list[Planned]:
    """What to do for each image, with the reason. Pure."""
    return [_plan_image(want, seen, no_cache=no_cache) for want in wanted]


def _plan_image(want: Wanted, seen: Seen, *, no_cache: bool) -> Planned:
    named = seen.named.get(f"{want.name}.{want.arch}")
    changes = tuple(inputs.differences(named.manifest, want.manifest)) if named else ()
    if no_cache:
        action, reason = "build", "asked for: --no-cache"
    elif want.digest not in seen.images:
        action = "build"
        reason = "; ".join(changes) if changes else "not built yet"
    elif seen.stale.get(want.digest):
        action, reason = "build", seen.stale[want.digest]
    elif named is None or named.digest != want.digest:
        action, reason = "name", "built before from the same inputs"
    else:
        action, reason = "cached", "all inputs are the same"
    return Planned(
        wanted=want,
        action=action,
        reason=reason,
        changes=changes,
        layers=_plan_layers(want, named, frozenset() if no_cache else seen.layers)
        if action == "build"
        else (),
    )


def _plan_layers(
    want: Wanted, named: store.Image | None, cached: frozenset[str]
) -> tuple[LayerPlan, ...]:
    old = layers.layers_of(named.manifest) if named else ()
    return tuple(layers.plan_layers(want.layers, old, cached))
