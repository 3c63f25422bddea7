"""Building: wanted inputs against the store's images, a plan, and the plan's images made.

Called by the command line and by tests. An image whose inputs are those of an image in the store
is not built again; one whose step fails leaves its finished layers and its log. Images that do not
start from each other are made at the same time, here and by other vct processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from vct.build import apt, cache, record, store
from vct.build.events import Progress, Report, notes
from vct.build.making import SandboxFactory, Site, make, supplies_of
from vct.build.places import Places
from vct.build.plan import Planned, Seen, Wanted, observe, plan_build
from vct.build.sandbox import Runner, Sandbox
from vct.build.schedule import run_in_order
from vct.build.trees import remove_tree
from vct.drivers import process
from vct.errors import HostError, VctError

TMPFS_SHARE = 0.6  # of the memory that is available: for the work of all builds
TMPFS_LEAST_MIB = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """An image that is there now. `seconds` is what it took, 0 when it was there before.

    `left_out` are suites (updates, security) that the mirror could not serve.
    """

    name: str
    arch: str
    digest: str
    cached: bool
    seconds: float
    left_out: tuple[str, ...] = ()


def build(
    wanted: Sequence[Wanted],
    *,
    images: Path,
    progress: Report,
    no_cache: bool = False,
    refresh: bool = False,
    jobs: int = 0,
    sandbox: SandboxFactory | None = None,
) -> list[BuildResult]:
    """Make these images (parents first) be in the store, `jobs` at a time (0: one per CPU).

    `refresh` fetches the mirror's lists anew. Needs root. Raises BuildError for a failing step,
    HostError for what this host lacks, RefusedError for a store directory that is not ours. What
    another vct makes is waited for.
    """
    plan = plan_build(wanted, observe(images, wanted, refresh=refresh), no_cache=no_cache)
    if all(planned.action == "cached" for planned in plan):
        return [_result(planned, 0.0, images) for planned in plan]

    waiting = notes(progress, wanted[-1].name, wanted[-1].arch)
    jobs = min(jobs or os.cpu_count() or 1, len(wanted))
    with _told_disk_errors(images):
        store.prepare(images)
        if no_cache:
            with store.lock(images, waiting):
                _forget(wanted, images)
        with store.lock_for_build(images, waiting) as descriptor:
            site = Site(
                images=images,
                report=progress,
                sandbox=sandbox or _sandbox,
                tmpfs_mib=_tmpfs_mib(jobs),
                lock=descriptor,
                lists_since=time.time() if refresh else 0.0,
            )
            return _build_all(wanted, site, jobs, no_cache=no_cache)


def _forget(wanted: Sequence[Wanted], images: Path) -> None:
    cache.drop_layers(images, [layer.key for want in wanted for layer in reversed(want.layers)])


def _build_all(
    wanted: Sequence[Wanted], site: Site, jobs: int, *, no_cache: bool
) -> list[BuildResult]:
    by_digest = {want.digest: want for want in wanted}

    def work(digest: str) -> BuildResult:
        with _told_disk_errors(site.images):
            return _apply(by_digest[digest], site, no_cache=no_cache)

    needs = {
        digest: want.parent if want.parent in by_digest else None
        for digest, want in by_digest.items()
    }
    results, failures = run_in_order(needs, work, jobs=jobs, stop=site.stop)
    if failures:
        raise _told_together(wanted, results, failures)
    return [results[want.digest] for want in wanted]


def _told_together(
    wanted: Sequence[Wanted], results: dict[str, BuildResult], failures: dict[str, VctError]
) -> VctError:
    """The first failure, with what else failed and what was not begun because of it."""
    first, *others = failures.values()
    words = [f"failed too: {error.message}" for error in others]
    words += [
        f"not built, as what it starts from failed: {want.name} for {want.arch}"
        for want in wanted
        if want.digest not in results and want.digest not in failures
    ]
    first.hint = "\n".join([*first.hint.splitlines(), *words])
    return first


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


def _result(planned: Planned, seconds: float, images: Path) -> BuildResult:
    return BuildResult(
        name=planned.wanted.name,
        arch=planned.wanted.arch,
        digest=planned.wanted.digest,
        cached=planned.action != "build",
        seconds=round(seconds, 2),
        left_out=record.left_out(store.read_image(images, planned.wanted.digest)),
    )


# --- one image -----------------------------------------------------------------------------------


def _apply(want: Wanted, site: Site, *, no_cache: bool) -> BuildResult:
    """Make one image be there. Who else makes it, or makes its parent again, is waited for."""
    images, started = site.images, time.monotonic()
    event = Progress(image=want.name, arch=want.arch, step="")
    waiting = notes(site.report, want.name, want.arch)
    with ExitStack() as stack:
        [planned] = plan_build([want], seen := _seen(want, site), no_cache=no_cache)
        if planned.action == "build":  # only then: others may be using it
            own = stack.enter_context(
                store.lock_one(images, want.digest, waiting, pause=site.pause)
            )
            [planned] = plan_build([want], seen := _seen(want, site), no_cache=no_cache)
        fresh = bool(seen.stale.get(want.digest)) and not no_cache
        if fresh and _is_as_before(want, seen.images[want.digest], site, waiting):
            planned = replace(planned, action="name")
        if planned.action == "build":
            if want.parent:
                stack.enter_context(
                    store.lock_one(images, want.parent, waiting, shared=True, pause=site.pause)
                )
            _check_host(want, images)
            site.report(event)
            _build(want, site, own, fresh=fresh)
        if planned.action != "cached":
            store.point(images, want.name, want.arch, want.digest)
    seconds = time.monotonic() - started if planned.action == "build" else 0.0
    site.report(Progress(image=want.name, arch=want.arch, step="", done=True, seconds=seconds))
    return _result(planned, seconds, images)


def _seen(want: Wanted, site: Site) -> Seen:
    return observe(site.images, [want], refresh=site.lists_since > 0)


def _is_as_before(
    want: Wanted, image: store.Image, site: Site, note: Callable[[str], None]
) -> bool:
    """Ask the mirror for what was left out; if that is still so, the image stays as it is."""
    places = Places(job=site.images / "tmp" / f"look-{want.digest}")
    remove_tree(places.job)
    places.job.mkdir(mode=0o700)
    try:
        supplies = supplies_of(want, site, places, note, want.layers)
    finally:
        remove_tree(places.job)
    return supplies is None or record.looked_again(image, supplies.snapshot)


def _build(want: Wanted, site: Site, own: int, *, fresh: bool) -> None:
    places = Places(job=site.images / "tmp" / want.digest)
    remove_tree(places.job)  # a killed build's: we hold the lock
    places.job.mkdir(mode=0o700)
    try:
        make(want, site, places, (site.lock, own), fresh=fresh)
        store.check_unused(site.images, want.digest)
        store.publish(site.images, places.finished, want.digest)
    finally:
        remove_tree(places.job)


def _check_host(want: Wanted, images: Path) -> None:
    """Refuse early what cannot go well."""
    if want.recipe.bootstrap is not None:
        _check_program("mmdebstrap", want.name)
        apt.check_keyrings(want.sources)
    if want.recipe.output == store.SQUASHFS:
        _check_program("mksquashfs", want.name)
    store.check_unused(images, want.digest)


def _check_program(program: str, image: str) -> None:
    if process.find(program) is None:
        raise HostError(
            f"{program} is not installed, {image} is made with it", hint="run: vct doctor --fix"
        )


def _tmpfs_mib(jobs: int) -> int:
    """How large a tmpfs each of `jobs` builds may have; 0 where memory is short.

    It saves a third of the time. What other builds use already is not available any more.
    """
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) // 1024
    size = int(available * TMPFS_SHARE / jobs)
    return size if size >= TMPFS_LEAST_MIB else 0
