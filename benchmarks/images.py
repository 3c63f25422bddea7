"""Benchmarks of image building: from cold beside what others make a Debian root with, and again.

Everything is in a store of the benchmark's own, so that cold means cold: no layer, no downloaded
package, no list of the mirror. The floors fetch the same packages from the same mirror, in turns.
Called by the runner, which installs PEERS where it is asked to.
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

COLD_RATIO, PEER_RATIO = 1.2, 1.0
NOOP_MS, LAST_STEP_S = 1000.0, 10.0
LIMIT_S = 1800
IMAGE = "node-debian"
TEMPLATE = Path("/usr/share/lxc/templates/lxc-debian")
TEMPLATE_LOCKS = Path("/var/lock/subsys")  # what the template leaves
# What is measured beside vct where it is there. The template calls the last two.
PEERS = ("debootstrap", "lxc-templates", "rsync", "distro-info")
SYSVINIT = "sysvinit-core"  # the template brings systemd's init, which it cannot be beside


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


def has_peers() -> bool:
    """Whether the programs of PEERS are there."""
    programs = ("debootstrap", "rsync", "debian-distro-info")
    return TEMPLATE.is_file() and all(process.find(program) for program in programs)


def measure(rounds: int, *, peers: bool = True) -> list[Result]:
    """Cold builds beside their floors, then those that have little or nothing to do, then sizes.

    `peers`: debootstrap and lxc-create are floors too.
    """
    base, node = recipes.with_parents([IMAGE], "amd64", recipes.recipe_directories(None))
    floors = {"mmdebstrap": _mmdebstrap}
    if peers:
        floors |= {"debootstrap": _debootstrap, "lxc-create": _lxc_create}
    cold: list[float] = []
    took: dict[str, list[float]] = {name: [] for name in floors}
    with shop() as here:
        for _ in range(rounds):
            here.forget()
            cold.append(here.build(IMAGE))
            for name, floor in floors.items():
                took[name].append(floor(here.place / name, base, node))
        found = [_cold(name, cold, runs) for name, runs in took.items()]
        found += [_last_step(here, rounds), _nothing_to_do(here, rounds)]
        return [*found, *_sizes(here, base)]


def _cold(floor: str, runs: list[float], took: list[float]) -> Result:
    return Result(
        name=f"image-cold-{floor}",
        what=f"vct build {IMAGE}, from cold",
        unit="s",
        runs=tuple(runs),
        floor=tuple(took),
        floor_is=FLOORS[floor],
        target=Target(limit=COLD_RATIO if floor == "mmdebstrap" else PEER_RATIO, of="ratio"),
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
    root = here.place / "least"
    process.run(_mmdebstrap_argv(root, base, ()), timeout_s=LIMIT_S)
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

FLOORS = {
    "mmdebstrap": "mmdebstrap with the same packages",
    "debootstrap": "debootstrap with the same packages, without updates",
    "lxc-create": f"lxc-create -t debian with the same packages but {SYSVINIT}, its cache empty",
}


def _mmdebstrap(root: Path, base: Recipe, node: Recipe) -> float:
    return _timed_root(root, _mmdebstrap_argv(root, base, [*base.packages, *node.packages]))


def _mmdebstrap_argv(root: Path, base: Recipe, packages: Sequence[str]) -> list[str]:
    assert base.bootstrap is not None
    include = [f"--include={','.join(packages)}"] if packages else []
    command = ["mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase"]
    return [*command, *include, base.bootstrap.suite, str(root), *map(str, _sources(base))]


def _debootstrap(root: Path, base: Recipe, node: Recipe) -> float:
    """debootstrap knows one source; it resolves dependencies by itself."""
    assert base.bootstrap is not None
    include = f"--include={','.join([*base.packages, *node.packages])}"
    mirror = _sources(base)[0].uri
    command = ["debootstrap", "--variant=minbase", include]
    return _timed_root(root, [*command, base.bootstrap.suite, str(root), mirror])


def _lxc_create(root: Path, base: Recipe, node: Recipe) -> float:
    """The container is made and never started. Its template caches a root; this cache is ours."""
    assert base.bootstrap is not None
    root.mkdir()
    (root / "config").write_text("lxc.net.0.type = empty\n")
    packages = [name for name in (*base.packages, *node.packages) if name != SYSVINIT]
    sources = _sources(base)
    security = next((one for one in sources if one.suite.endswith("-security")), sources[0])
    command = [
        *("lxc-create", f"--lxcpath={root}", "--name=other", f"--config={root / 'config'}"),
        *("--template=debian", "--", f"--release={base.bootstrap.suite}", "--arch=amd64"),
        *(f"--mirror={sources[0].uri}", f"--security-mirror={security.uri}"),
        f"--packages={','.join(packages)}",
    ]
    mine = not TEMPLATE_LOCKS.exists()
    try:
        return _timed_root(root, command, {"LXC_CACHE_PATH": str(root / "cache")})
    finally:
        if mine:
            remove_tree(TEMPLATE_LOCKS)


def _sources(base: Recipe) -> tuple[apt.AptSource, ...]:
    assert base.bootstrap is not None
    return apt.bootstrap_sources(base.bootstrap)


def _timed_root(root: Path, argv: Sequence[str], env: dict[str, str] | None = None) -> float:
    """The seconds that a program takes to make a root, which is removed then."""
    try:
        return _timed(argv, env)
    finally:
        remove_tree(root)


def _timed(argv: Sequence[str], env: dict[str, str] | None = None) -> float:
    begun = time.perf_counter()
    process.run(argv, env=env, timeout_s=LIMIT_S)
    return time.perf_counter() - begun
