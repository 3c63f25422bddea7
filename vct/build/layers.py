"""The layers of an image: its manifest cut into groups of steps, each with a key of its own. Pure.

A layer's key is the sha256 of a readable manifest: the key of what is below it, and the inputs of
its own group. So a change in a late step leaves the keys of the earlier ones as they are, and two
manifests can be compared layer by layer to say what must be made again, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vct.build import inputs
from vct.build.inputs import Manifest

BOOTSTRAP, FETCH, PACKAGES, FILES, TIDY = "bootstrap", "fetch", "packages", "files", "tidy"
# What the layers do not depend on: how the image is called and how it is kept.
OF_THE_IMAGE = ("name", "kind", "version", "output", "compression")
OF_GROUPS = ("packages", "exclude", "files", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one group of steps adds. `label` is the recipe's key that asks for it: `run[0]`."""

    label: str
    key: str
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """What is done for a layer: `kept`, or `build` because of `reason`."""

    label: str
    key: str
    action: str
    reason: str


def layers_of(manifest: Manifest, run_keys: Sequence[str] = ()) -> tuple[Layer, ...]:
    """The layers of an image, the lowest first. A parent is below them and none of them.

    `run_keys` are the recipe's keys of the manifest's commands, where they are not `run[i]`.
    """
    below = ""
    found = []
    for label, own in _groups(manifest, run_keys):
        made = {"layer": label, **own, **({"below": below} if below else {})}
        below = inputs.digest(made)
        found.append(Layer(label=label, key=below, manifest=made))
    return tuple(found)


def _groups(manifest: Manifest, run_keys: Sequence[str]) -> list[tuple[str, Manifest]]:
    """Label and inputs of each group. What is of no other belongs to the first one."""
    elsewhere = (*OF_THE_IMAGE, *OF_GROUPS)
    beginning = {key: value for key, value in manifest.items() if key not in elsewhere}
    packages = {key: manifest[key] for key in ("packages", "exclude") if manifest.get(key)}
    if manifest.get("exclude"):
        packages["name"] = manifest["name"]  # the name of the file that keeps the patterns
    groups: list[tuple[str, Manifest]] = []
    if "bootstrap" in manifest:  # mmdebstrap installs the packages too: that is quicker
        groups.append((BOOTSTRAP, packages))
    else:
        if FETCH in manifest:
            groups.append((FETCH, {}))
        if packages:
            groups.append((PACKAGES, packages))
    if manifest["files"]:
        groups.append((FILES, {"files": manifest["files"]}))
    for index, command in enumerate(manifest["run"]):
        label = run_keys[index] if index < len(run_keys) else f"run[{index}]"
        groups.append((label, {"run": command}))
    groups.append((TIDY, {}))
    first, own = groups[0]
    return [(first, {**beginning, **own}), *groups[1:]]


# --- comparing -----------------------------------------------------------------------------------


def plan_layers(
    wanted: Sequence[Layer], old: Sequence[Layer], cached: frozenset[str]
) -> list[LayerPlan]:
    """What to do for each layer, and why. `old` are the layers of the image that has the name now,
    `cached` the keys of the layers that are there. Pure.
    """
    before = {layer.label: layer for layer in old}
    plan: list[LayerPlan] = []
    for layer in wanted:
        above_a_new_one = any(done.action == "build" for done in plan)
        kept = layer.key in cached and not above_a_new_one
        plan.append(
            LayerPlan(
                label=layer.label,
                key=layer.key,
                action="kept" if kept else "build",
                reason=_reason(layer, before.get(layer.label), kept=kept, above=above_a_new_one),
            )
        )
    return plan


def _reason(layer: Layer, old: Layer | None, *, kept: bool, above: bool) -> str:
    changes = _changes(layer, old)
    if kept:
        return "all inputs are the same" if not changes else "; ".join(changes) + " (made before)"
    if changes:
        return "; ".join(changes)
    return "what is below it changed" if above else "not there"


def _changes(layer: Layer, old: Layer | None) -> list[str]:
    if old is None:
        return []
    mine, theirs = (dict(one.manifest) for one in (layer, old))
    for one in (mine, theirs):
        one.pop("below", None)  # what is below tells for itself
    return inputs.differences(theirs, mine)
