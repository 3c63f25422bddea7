"""Building: wanted inputs against the store's images, a plan, and the plan's steps done in order.

Called by the command line and by tests. An image whose inputs are those of an image in the store
is not built again; one whose step fails leaves nothing but its log.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from vct.build import apt, inputs, store
from vct.build.plan import Planned, Wanted, plan_build, seen_images, wanted_images
from vct.build.sandbox import Runner, Sandbox
from vct.build.steps import (
    ENVIRONMENT,
    POLICY,
    Places,
    Step,
    bootstrap_steps,
    layer_steps,
    render_apt_conf,
    render_dpkg_conf,
)
from vct.drivers import process
from vct.errors import HostError, VctError
from vct.model.recipe import Recipe

TMPFS_SHARE = 0.6  # of the memory that is available: for the work of one build
TMPFS_LEAST_MIB = 1500
TAIL_LINES = 15
ADVICE = (
    (
        "Mirror sync in progress|Hash Sum mismatch",
        "the mirror does not agree with itself: try again later, or another one: --mirror URL",
    ),
    (
        "Temporary failure resolving|Could not (resolve|connect)|Connection (refused|timed out)",
        "the mirror cannot be reached: look at the network, or use another one: --mirror URL",
    ),
    ("Unable to locate package|has no installation candidate", "look at the package's name"),
    ("No space left on device", "free some disk space or memory"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """An image that is there now. `seconds` is what it took, 0 when it was there before."""

    name: str
    arch: str
    digest: str
    cached: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a build is doing. `done` ends what began with the same image and step.

    `lasting` steps are known to take their time: they are worth a line when they begin.
    """

    image: str
    arch: str
    step: str
    done: bool = False
    seconds: float = 0.0
    lasting: bool = False


Report = Callable[[Progress], None]
SandboxFactory = Callable[[IO[bytes], Sequence[int]], AbstractContextManager[Runner]]


class BuildError(VctError):
    """A step of a recipe failed. The hint has the tail of its output and the log's place."""

    def __init__(self, recipe: Recipe, arch: str, step: Step, code: int, log: Path) -> None:
        place = str(recipe.source)
        if step.key in recipe.places:
            place += f":{recipe.places[step.key].line}: {step.key}"
        words = step.title or process.render_command(step.argv[:2])
        tail = _tail(log)
        super().__init__(
            f"{place}: {recipe.name} for {arch}: {words}: failed with exit code {code}",
            hint="\n".join([*tail, *_advice(tail), f"the whole log: {log}"]),
        )
        self.recipe, self.arch, self.step, self.log = recipe.name, arch, words, log

    def details(self) -> dict[str, object]:
        return {
            "recipe": self.recipe,
            "arch": self.arch,
            "step": self.step,
            "log": str(self.log),
        }


def _tail(log: Path) -> list[str]:
    """The last lines of what the step said, without those that started it."""
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("$ ")]
    return [f"| {line}" for line in said[-TAIL_LINES:]]


def _advice(tail: Sequence[str]) -> list[str]:
    text = "\n".join(tail)
    return [words for pattern, words in ADVICE if re.search(pattern, text)][:1]


# --- apply ---------------------------------------------------------------------------------------


def build(
    recipes: Sequence[Recipe],
    *,
    arch: str,
    images: Path,
    progress: Report,
    mirror: str = "",
    no_cache: bool = False,
    sandbox: SandboxFactory | None = None,
) -> list[BuildResult]:
    """Make the images of these recipes (parents first) be in the store. Needs root.

    Raises BuildError for a failing step, HostError for what this host lacks, RefusedError for a
    store directory that is not ours. Another build in this store is waited for.
    """
    wanted = wanted_images(recipes, arch, mirror)
    plan = plan_build(wanted, seen_images(images, wanted), no_cache=no_cache)
    if all(planned.action == "cached" for planned in plan):
        return [_result(planned, 0.0) for planned in plan]

    def waiting(words: str) -> None:
        progress(Progress(image=recipes[-1].name, arch=arch, step=words, lasting=True))

    with _told_disk_errors(images):
        store.prepare(images)
    with _told_disk_errors(images), store.lock(images, waiting) as descriptor:
        store.clear_stale(images)
        plan = plan_build(wanted, seen_images(images, wanted), no_cache=no_cache)
        return [
            _apply(planned, images, progress, sandbox or _sandbox, descriptor) for planned in plan
        ]


@contextmanager
def _told_disk_errors(images: Path) -> Iterator[None]:
    """A full or read-only disk, in our words."""
    try:
        yield
    except OSError as error:
        raise VctError(
            f"the image store {images} cannot be written: {error}",
            hint=f"look at it with: df {images}",
        ) from error


def _sandbox(log: IO[bytes], inherit: Sequence[int]) -> AbstractContextManager[Runner]:
    return Sandbox(log, inherit=inherit)


def _result(planned: Planned, seconds: float) -> BuildResult:
    return BuildResult(
        name=planned.wanted.recipe.name,
        arch=planned.wanted.arch,
        digest=planned.wanted.digest,
        cached=planned.action != "build",
        seconds=round(seconds, 2),
    )


def _apply(
    planned: Planned, images: Path, progress: Report, sandbox: SandboxFactory, lock: int
) -> BuildResult:
    want = planned.wanted
    started = time.monotonic()
    if planned.action == "build":
        _check_host(want, images)
        places = Places(job=Path(tempfile.mkdtemp(prefix=want.recipe.name, dir=images / "tmp")))
        try:
            _make(want, images, places, progress, sandbox, lock)
            _finish(want, places, time.monotonic() - started)
            store.publish(images, places.finished, want.digest)
        finally:
            store.remove_tree(places.job)
    if planned.action != "cached":
        store.point(images, want.recipe.name, want.arch, want.digest)
    return _result(planned, time.monotonic() - started if planned.action == "build" else 0.0)


def _check_host(want: Wanted, images: Path) -> None:
    """Refuse early what cannot go well."""
    if want.recipe.bootstrap is not None:
        if process.find("mmdebstrap") is None:
            raise HostError(
                f"mmdebstrap is not installed, {want.recipe.name} is made with it",
                hint="run: vct doctor --fix",
            )
        apt.check_keyrings(want.sources)
    store.check_unused(images, want.digest)


def _make(
    want: Wanted,
    images: Path,
    places: Places,
    progress: Report,
    sandbox: SandboxFactory,
    lock: int,
) -> None:
    """Run all steps; the result is in `places.finished`, on the disk but not yet synced."""
    recipe = want.recipe
    _write_job(want, places)
    tmpfs_mib = _tmpfs_mib()
    if recipe.bootstrap is not None:
        steps = bootstrap_steps(recipe, want.arch, want.sources, places, tmpfs_mib)
    else:
        parent = store.read_image(images, want.manifest["from"]["digest"])
        steps = layer_steps(recipe, parent.root, places, tmpfs_mib)
    log_file = images / "logs" / f"{recipe.name}.{want.arch}.log"
    with log_file.open("wb") as log, sandbox(log, (lock,)) as runner:
        for step in steps:
            code = _run_step(step, want, runner, progress)
            if code != 0:
                log.flush()
                raise BuildError(recipe, want.arch, step, code, log_file)


def _run_step(step: Step, want: Wanted, runner: Runner, progress: Report) -> int:
    """Run one step and return its exit code; steps with a title are reported."""
    event = Progress(image=want.recipe.name, arch=want.arch, step=step.title, lasting=step.network)
    started = time.monotonic()
    if step.title:
        progress(event)
    code = runner.run(step.argv, env=ENVIRONMENT | dict(step.env), network=step.network)
    if step.title and code == 0:
        progress(replace(event, done=True, seconds=time.monotonic() - started))
    return code


def _write_job(want: Wanted, places: Places) -> None:
    """The build's small files: archives and configurations that the steps name."""
    recipe = want.recipe
    places.work.mkdir()
    places.finished.mkdir(mode=0o755)
    acquire = apt.host_acquire_options()
    root = None if recipe.bootstrap is not None else places.root
    places.apt_conf.write_text(render_apt_conf(want.arch, acquire, root))
    places.dpkg_conf.write_text(render_dpkg_conf(recipe))
    places.policy.write_text(POLICY)
    if recipe.files is not None:
        places.files.write_bytes(inputs.tar(recipe.files))


def _finish(want: Wanted, places: Places, seconds: float) -> None:
    """Write manifest and record beside the root and wait until all of it is on the disk."""
    root = places.finished / "root"
    record = {
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "size_mib": _size_mib(root),
        "packages": _packages(root),
    }
    (places.finished / "manifest.json").write_text(inputs.render(want.manifest))
    (places.finished / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    process.run(["sync", "-f", str(places.finished)])


def _size_mib(root: Path) -> float:
    kib = process.run(["du", "-sk", str(root)]).stdout.split()[0]
    return round(int(kib) / 1024, 1)


def _packages(root: Path) -> list[str]:
    """`name=version` of what dpkg says is installed in a root; none where there is no dpkg."""
    database = root / "var/lib/dpkg"
    if not (database / "status").is_file():
        return []
    form = "-f=${Package}=${Version}\n"
    return process.run(["dpkg-query", f"--admindir={database}", "-W", form]).stdout.split()


def _tmpfs_mib() -> int:
    """How large a tmpfs to build in; 0 where memory is short. It saves a third of the time."""
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) // 1024
    size = int(available * TMPFS_SHARE)
    return size if size >= TMPFS_LEAST_MIB else 0
