"""Making one image: its missing layers, one after the other, then what the store keeps of them.

Called by the builder, which holds the locks. Every layer that is finished goes to the cache at
once, so that a failing or interrupted build is resumed there.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vct.build import apt, bill, cache, farm, inputs, locks, record, store, verify, wheel_list
from vct.build.cache import Kept
from vct.build.events import Progress, Report, told
from vct.build.failure import BuildError, place_of
from vct.build.layers import BOOTSTRAP, FILES, PACKAGES, Layer
from vct.build.mirror import MirrorError
from vct.build.places import Places
from vct.build.plan import Wanted
from vct.build.sandbox import Runner
from vct.build.steps import (
    ENVIRONMENT,
    Step,
    copy_steps,
    layer_steps,
    squashfs_steps,
    work_steps,
)
from vct.build.supplies import Supplies, check_lock, check_result, gather
from vct.build.tool_files import POLICY, render_apt_conf, render_dpkg_conf, render_hooks
from vct.build.trees import size_mib
from vct.drivers import process
from vct.errors import InterruptedByUser

SandboxFactory = Callable[[IO[bytes], Sequence[int]], AbstractContextManager[Runner]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all images of one build share. `tmpfs_mib` is for each of them, 0 is none.

    `stop` ends all that runs; `lock` is the descriptor of the store's lock. Lists of a mirror that
    were taken before `lists_since` (seconds since the epoch) are fetched anew.
    """

    images: Path
    report: Report
    sandbox: SandboxFactory
    tmpfs_mib: int
    lock: int
    lists_since: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    runners: list[Runner] = field(default_factory=list)

    def stop(self) -> None:
        """End all that runs, and let nothing begin any more."""
        self.stopped.set()
        for runner in list(self.runners):
            runner.stop()

    def pause(self) -> None:
        """Wait a little, for a lock. Raises InterruptedByUser when all is to end."""
        if self.stopped.wait(locks.PAUSE_S):
            raise InterruptedByUser("interrupted")

    @contextmanager
    def runner(self, log: IO[bytes], inherit: Sequence[int]) -> Iterator[Runner]:
        """A sandbox that `stop` ends."""
        with self.sandbox(log, inherit) as runner:
            self.runners.append(runner)
            try:
                if self.stopped.is_set():
                    raise InterruptedByUser("interrupted")
                yield runner
            finally:
                self.runners.remove(runner)


@dataclass(slots=True, kw_only=True)
class Making:
    """One image under way: the layers that are there, the lowest first.

    `fresh`: layers of the cache are not used, as the mirror has more than when they were made.
    """

    want: Wanted
    site: Site
    places: Places
    parent: store.Image | None
    log: Path
    runner: Runner
    kept: list[Kept]
    missing: tuple[Layer, ...]
    event: Progress
    supplies: Supplies | None = None
    fresh: bool = False

    @property
    def ground(self) -> str:
        """The making of what the next layer is put on."""
        if self.kept:
            return self.kept[-1].id
        return self.parent.made if self.parent else ""

    @property
    def below(self) -> int:
        """How many layers are below the next one, the parent as one."""
        return len(self.kept) + (self.parent is not None)

    def run(self, steps: Sequence[Step]) -> None:
        """Run steps; those with a title are reported. Raises BuildError for one that fails."""
        for step in steps:
            event = replace(self.event, step=step.title, lasting=step.network)
            with told(self.site.report, event) if step.title else nullcontext():
                code = self.runner.run(
                    step.argv, env=ENVIRONMENT | dict(step.env), network=step.network
                )
                if code != 0:
                    raise BuildError(self.want.recipe, step, code, self.log)

    def note(self, words: str) -> None:
        self.site.report(replace(self.event, step=words, note=True, lasting=True))


def make(
    want: Wanted, site: Site, places: Places, inherit: Sequence[int], *, fresh: bool = False
) -> None:
    """Make an image; it is in `places.finished` then, on the disk, with manifest and record.

    `fresh` makes all its layers anew.
    """
    started = time.monotonic()
    parent = store.read_image(site.images, want.parent) if want.parent else None
    ground = parent.made if parent else ""
    kept = [] if fresh else cache.find_layers(site.images, want.layers, ground)
    missing = want.layers[len(kept) :]
    log = site.images / "logs" / f"{want.name}.{want.arch}.log"
    event = Progress(image=want.name, arch=want.arch, step="", of=len(missing) + 1)
    try:
        with log.open("wb", buffering=0) as stream, site.runner(stream, inherit) as runner:
            making = Making(
                want=want,
                site=site,
                places=places,
                parent=parent,
                log=log,
                runner=runner,
                kept=kept,
                missing=missing,
                event=event,
                fresh=fresh,
            )
            making.supplies = supplies_of(want, site, places, making.note, missing)
            if making.supplies is not None:
                check_lock(making.supplies, record.packages_of(parent) if parent else ())
            _prepare(making)
            _make_layers(making)
            _make_artefact(making)
    finally:
        if places.archives.exists():
            cache.take_archives(site.images, want.arch, places.archives)
    _finish(making, time.monotonic() - started)


def supplies_of(
    want: Wanted,
    site: Site,
    places: Places,
    note: Callable[[str], None],
    missing: Sequence[Layer],
) -> Supplies | None:
    """What the mirror has for these layers; None where they need nothing, or it is not known."""
    if not want.sources or not any(layer.label in (BOOTSTRAP, PACKAGES) for layer in missing):
        return None
    try:
        return gather(
            want.sources,
            want.arch,
            check_dates=want.check_dates,
            cache=cache.mirror_directory(site.images),
            directory=places.apt,
            exclusive=lambda key: store.lock_one(site.images, key, note, pause=site.pause),
            warn=note,
            locked=want.locked,
            not_before=site.lists_since,
        )
    except MirrorError as error:
        key = BOOTSTRAP if want.recipe.bootstrap is not None else PACKAGES
        raise error.at(place_of(want.recipe, key)) from None


def _prepare(making: Making) -> None:
    """The build's small files: archives and configurations that the steps name."""
    want, site, places = making.want, making.site, making.places
    recipe, missing = want.recipe, making.missing
    for directory in (places.work, places.below, places.hooks):
        directory.mkdir()
    places.finished.mkdir(mode=0o755)
    places.dpkg_conf.write_text(render_dpkg_conf(recipe))
    places.policy.write_text(POLICY)
    if any(layer.label in (BOOTSTRAP, PACKAGES) for layer in missing):
        acquire = apt.host_acquire_options()
        inside = None if recipe.bootstrap is not None else places
        places.apt_conf.write_text(render_apt_conf(want.arch, acquire, inside, making.supplies))
        for name, text in render_hooks(places).items():
            (places.hooks / name).write_text(text)
            (places.hooks / name).chmod(0o755)
        cache.lend_archives(site.images, want.arch, places.archives)
    if any(layer.label == FILES for layer in missing):
        wheels = _fetch_wheels(making)
        places.files.write_bytes(inputs.tar_of(recipe, wheels))


def _fetch_wheels(making: Making) -> dict[str, bytes]:
    """The wheels of the recipe's lists, by their path in the image."""
    found: dict[str, bytes] = {}
    directory = cache.fetched_directory(making.site.images)
    for file in making.want.recipe.wheel_lists:
        making.note(f"wheels of {file.name}")
        found |= wheel_list.fetch(file, directory)
    return found


# --- layers --------------------------------------------------------------------------------------


def _make_layers(making: Making) -> None:
    parent, places = making.parent, making.places
    packed = parent is not None and parent.format == store.SQUASHFS
    below: list[Path] = [kept.upper for kept in making.kept]
    if parent is not None:
        below.insert(0, places.parent if packed else parent.path)
    for number, path in enumerate(below):
        (places.below / str(number)).symlink_to(path)
    making.run(
        work_steps(places, making.site.tmpfs_mib, parent.path if packed and parent else None)
    )
    for number, layer in enumerate(making.missing, 1):
        making.event = replace(making.event, layer=layer.label, at=number)
        site = making.site
        with store.lock_one(site.images, layer.key, making.note, pause=site.pause):
            found = cache.find_layer(site.images, layer.key, making.ground)
            kept = (None if making.fresh else found) or _make_layer(making, layer)
        (places.below / str(making.below)).symlink_to(kept.upper)
        making.kept.append(kept)


def _make_layer(making: Making, layer: Layer) -> Kept:
    places, want = making.places, making.want
    places.layer.mkdir(mode=0o755)
    fetched = cache.fetched_directory(making.site.images)
    making.run(
        layer_steps(layer.label, want.recipe, making.supplies, places, making.below, fetched)
    )
    _write_bill(making, layer)
    farm.settle(places.layer / "upper", inputs.EPOCH)
    return cache.keep_layer(making.site.images, layer, making.ground, places.layer)


def _write_bill(making: Making, layer: Layer) -> None:
    """Beside a layer of packages: what they are, and what the mirror was like."""
    if making.supplies is None or layer.label not in (BOOTSTRAP, PACKAGES):
        return
    packages = bill.installed(making.places.layer / "upper")
    if not packages and making.parent is not None:  # nothing was installed but what was there
        packages = record.packages_of(making.parent)
    known = record.packages_of(making.parent) if making.parent else []
    packages = bill.with_digests(packages, known, making.supplies.digests(packages))
    record.write_bill(making.places.layer, packages, making.supplies.snapshot)


# --- the image -----------------------------------------------------------------------------------


def _make_artefact(making: Making) -> None:
    """All layers together, as the recipe wants to have them kept."""
    recipe, places, parent = making.want.recipe, making.places, making.parent
    making.event = replace(making.event, layer="output", at=making.event.of)
    if recipe.output == store.SQUASHFS:
        making.run(squashfs_steps(places, making.below, recipe.compression))
    elif parent is not None and parent.format == store.SQUASHFS:
        making.run(copy_steps(places, making.below))
    else:
        for number in range(making.below):
            farm.lay((places.below / str(number)).resolve(), places.finished / "root")


def _finish(making: Making, seconds: float) -> None:
    """Write manifest and record beside the root and wait until all of it is on the disk."""
    finished = making.places.finished
    packages, mirror = _bill(making)
    check_result(making.want.locked, packages)
    tree = verify.artefact_digest(store.artefact(finished))
    _tell_other_files(making, tree)
    told = {
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "made": uuid.uuid4().hex,
        "seconds": round(seconds, 1),
        "size_mib": size_mib(store.artefact(finished)),
        "tree": tree,
        "parameters": dict(making.want.recipe.parameters),
        "tools": making.want.manifest.get("tools", {}),
        "mirror": mirror,
        "packages": [f"{one.name}={one.version}" for one in packages],
        "installed": bill.render(packages),
        "layers": {layer.label: layer.key for layer in making.want.layers},
    }
    (finished / "manifest.json").write_text(inputs.render(making.want.manifest))
    (finished / "record.json").write_text(json.dumps(told, indent=1) + "\n")
    process.run(["sync", "-f", str(finished)])
    cache.now_on_disk(making.kept)


def _tell_other_files(making: Making, tree: str) -> None:
    """The packages are those of the lock; the files need not be, so it is no error."""
    locked = making.want.locked
    if locked is not None and locked.tree not in ("", tree):
        making.note("its files are not those that were locked: has the recipe changed since?")


def _bill(making: Making) -> tuple[list[bill.Package], Mapping[str, Any] | None]:
    """What is installed, with the digests that are known, and the mirror's state at that time."""
    parent = making.parent
    packages = record.packages_of(parent) if parent else []
    mirror = record.read(parent).get("mirror") if parent else None
    known = {one.key: one for one in packages}
    for kept in making.kept:
        told = record.read_bill(kept.upper.parent)
        if told is not None:
            mirror = told["mirror"]
            known |= {one.key: one for one in bill.parse(told["packages"])}
        if (kept.upper / "var/lib/dpkg/status").is_file():
            packages = bill.installed(kept.upper)
    return bill.with_digests(packages, known.values(), {}), mirror
