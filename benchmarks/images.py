"""Benchmarks of image building: from cold beside plain mmdebstrap and debootstrap, and again.

Everything is in a store of the benchmark's own, so that cold means cold: no layer, no downloaded
package, no list of the mirror. The floors fetch the same packages from the same mirror, in turns.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bed import IMAGES, VCT
from benchmarks.figures import Result, Target
from vct.build import apt, recipes, store
from vct.build.trees import remove_tree, size_mib
from vct.drivers import process
from vct.model.recipe import Recipe

COLD_RATIO = 1.2
NOOP_MS, LAST_STEP_S = 1000.0, 10.0
LIMIT_S = 1800
IMAGE = "node-debian"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A directory of the benchmark's own: a store, recipes, and roots of the floors."""

    place: Path

    @property
    def images(self) -> Path:
        return self.place / "store"

    @property
    def recipe(self) -> Path:
        return self.place / "recipes" / f"{IMAGE}.yaml"

    def build(self, *arguments: str, images: Path | None = None) -> float:
        """The seconds that `vct build` takes."""
        env = {"VCT_IMAGES": str(images or self.images), "VCT_RECIPES": str(self.place / "recipes")}
        return _timed([*VCT, "build", *arguments], env)

    def forget(self) -> None:
        """Remove the store: the next build is a cold one."""
        remove_tree(self.images)


@contextmanager
def shop() -> Iterator[Shop]:
    """A shop with a copy of our recipes and trees; it is removed after the block."""
    place = Path(tempfile.mkdtemp(prefix="vct-bench-", dir="/var/lib"))
    try:
        for name in ("recipes", "images"):
            shutil.copytree(recipes.data_directory() / name, place / name, symlinks=True)
        yield Shop(place=place)
    finally:
        remove_tree(place)


def measure(rounds: int) -> list[Result]:
    """Cold builds beside their floors, then those that have little or nothing to do, then sizes."""
    has_debootstrap = process.find("debootstrap") is not None
    base, node = recipes.with_parents([IMAGE], "amd64", recipes.recipe_directories(None))
    cold, plain, debootstrap = [], [], []
    with shop() as here:
        for _ in range(rounds):
            here.forget()
            cold.append(here.build(IMAGE))
            plain.append(_mmdebstrap(here.place / "plain", base, [*base.packages, *node.packages]))
            if has_debootstrap:
                debootstrap.append(_debootstrap(here.place / "other", base, node))
        found = [_cold("mmdebstrap with the same packages", cold, plain, COLD_RATIO)]
        if debootstrap:
            found.append(_cold("debootstrap with the same packages", cold, debootstrap, 1.0))
        found += [_last_step(here, rounds), _nothing_to_do(here, rounds)]
        return [*found, *_sizes(here, base)]


def _cold(floor_is: str, runs: list[float], floor: list[float], ratio: float) -> Result:
    return Result(
        name=f"image-cold-{floor_is.split()[0]}",
        what=f"vct build {IMAGE}, from cold",
        unit="s",
        runs=tuple(runs),
        floor=tuple(floor),
        floor_is=floor_is,
        target=Target(limit=ratio, of="ratio"),
    )


def _last_step(here: Shop, rounds: int) -> Result:
    text = here.recipe.read_text()
    runs = []
    for number in range(rounds):
        here.recipe.write_text(text.replace("\noutput:", f"\n  - echo {number}\noutput:"))
        runs.append(here.build(IMAGE))
    here.recipe.write_text(text)
    return Result(
        name="image-last-step",
        what="vct build after a change in the last step",
        unit="s",
        runs=tuple(runs),
        target=Target(limit=LAST_STEP_S),
    )


def _nothing_to_do(here: Shop, rounds: int) -> Result:
    """In the installation's own store, which has all images or gets them first."""
    here.build("--all", images=IMAGES)
    runs = [here.build("--all", images=IMAGES) * 1000 for _ in range(rounds + 2)]
    return Result(
        name="image-noop",
        what="vct build --all, nothing to do",
        unit="ms",
        runs=tuple(runs),
        target=Target(limit=NOOP_MS),
    )


def _sizes(here: Shop, base: Recipe) -> list[Result]:
    """Our images beside Debian's minimal root as mmdebstrap makes it."""
    root = here.place / "plain"
    _mmdebstrap(root, base, (), keep=True)
    least = size_mib(root)
    remove_tree(root)
    return [
        Result(
            name=f"image-size-{name}",
            what=f"size of {name}",
            unit="MiB",
            runs=(store.find_image(IMAGES, name, "amd64").size_mib,),
            floor=(least,),
            floor_is="Debian's minimal root (mmdebstrap --variant=minbase)",
        )
        for name, arch in store.image_names(IMAGES)
        if arch == "amd64"
    ]


# --- floors --------------------------------------------------------------------------------------


def _mmdebstrap(root: Path, base: Recipe, packages: Sequence[str], *, keep: bool = False) -> float:
    assert base.bootstrap is not None
    include = [f"--include={','.join(packages)}"] if packages else []
    command = ["mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase"]
    sources = [str(source) for source in apt.bootstrap_sources(base.bootstrap)]
    seconds = _timed([*command, *include, base.bootstrap.suite, str(root), *sources])
    if not keep:
        remove_tree(root)
    return seconds


def _debootstrap(root: Path, base: Recipe, node: Recipe) -> float:
    """debootstrap knows one source; it resolves dependencies by itself."""
    assert base.bootstrap is not None
    mirror = apt.bootstrap_sources(base.bootstrap)[0].uri
    include = f"--include={','.join([*base.packages, *node.packages])}"
    seconds = _timed(
        ["debootstrap", "--variant=minbase", include, base.bootstrap.suite, str(root), mirror]
    )
    remove_tree(root)
    return seconds


def _timed(argv: Sequence[str], env: dict[str, str] | None = None) -> float:
    begun = time.perf_counter()
    process.run(argv, env=env, timeout_s=LIMIT_S)
    return time.perf_counter() - begun
