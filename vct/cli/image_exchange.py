"""`vct image export`, `import` and `publish`: images as files, from files, and on image servers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vct.build import store
from vct.build.formats import export as exporting
from vct.build.formats import importing, origin, publishing
from vct.cli.build_progress import BuildProgress
from vct.cli.image import ARCH, IMAGE, complete_image
from vct.cli.options import OUTPUT, Command
from vct.cli.session import session
from vct.errors import UsageError
from vct.model.recipe import ARCHITECTURES

if TYPE_CHECKING:
    from rich.table import Table

MIB = 1 << 20


# --- vct image export ----------------------------------------------------------------------------


@click.command(cls=Command)
@IMAGE
@ARCH
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(exporting.FORMATS)),
    default="tar.zst",
    show_default=True,
    help="What to write.",
)
@OUTPUT
@click.option(
    "--compression-level",
    "level",
    type=int,
    metavar="N",
    help="How hard to compress: 1-19 for tar.zst, 1-22 for squashfs and incus, 0-9 for lxc.",
)
def export(image: str, arch: str, form: str, output: Path | None, level: int | None) -> None:
    """Write an image to a file or a directory that can be carried to another host.

    Beside it stand its digest and a description that `vct image import` reads.
    """
    here = session()
    found = store.find_image(here.home.images, image, arch)
    exporting.check_level(form, level)
    target = exporting.target_of(image, arch, form, output)
    if here.dry_run:
        planned = {"image": image, "arch": arch, "digest": found.digest, "format": form}
        here.emit(
            planned | {"path": str(target)}, lambda: f"would write {image} for {arch} to {target}"
        )
        return
    here.require_root("an image's files are of all its users")
    with store.lock_for_build(here.home.images, here.say), BuildProgress(here) as progress:
        done = exporting.export(
            found, format=form, target=target, level=level, report=progress.report
        )
    data: dict[str, object] = {
        "path": str(done.path),
        "format": form,
        "tree": done.tree,
        "size": done.size,
        "files": {name: asdict(facts) for name, facts in done.files.items()},
    }
    if done.fingerprint:
        data["fingerprint"] = done.fingerprint
    here.emit(
        data,
        lambda: f"{image} for {arch}: {done.path} ({done.size / MIB:.1f} MiB)",
    )


# --- vct image import ----------------------------------------------------------------------------


@click.command(name="import", cls=Command)
@click.argument("source", metavar="FILE|DIR|URL")
@click.argument("remote", metavar="[IMAGE]", default="")
@click.option("--name", default="", metavar="NAME", help="What to call it here.")
@click.option(
    "--arch",
    type=click.Choice(ARCHITECTURES),
    help="Its architecture; needed where the source does not say.  [server: amd64]",
)
@click.option("--sha256", default="", metavar="HEX", help="What the file's digest must be.")
@click.option(
    "--format",
    "stored",
    type=click.Choice(importing.STORED),
    help="How to keep it; by default as it was.",
)
@click.option(
    "--size-max",
    "size_max_mib",
    type=click.IntRange(min=1),
    default=16 * 1024,
    show_default=True,
    metavar="MIB",
    help="Refuse what is larger, packed or unpacked.",
)
def import_(
    source: str,
    remote: str,
    name: str,
    arch: str | None,
    sha256: str,
    stored: str | None,
    size_max_mib: int,
) -> None:
    """Take an image from a file, a directory, a URL, or an image server (simplestreams).

    A server's address needs the IMAGE's name. Digests are checked, and nothing of an archive is
    believed: what would reach out of its root, or is larger than it was said to be, is refused.
    """
    here = session()
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256: {sha256!r} is not a sha256", hint="it has 64 hex digits")
    wanted = origin.Wanted(
        source=source, remote=remote, sha256=sha256, size_max=size_max_mib * MIB, say=here.say
    )
    choice = importing.Choice(name=name, arch=arch or "", stored=stored or "")
    if here.dry_run:
        words = f"{remote} from {source}" if remote else source
        here.emit(
            {"source": source, "image": remote, "name": name or remote},
            lambda: f"would import {words}",
        )
        return
    here.require_root("the image store is root's")
    done = importing.import_image(here.home.images, wanted, choice)
    verb = "is there already" if done.known else "imported"
    words = f"{done.image.name} for {done.image.arch}: {verb} ({done.image.digest[:12]})"
    here.emit(_imported_data(done), lambda: words)


def _imported_data(done: importing.Imported) -> dict[str, object]:
    image = done.image
    return {
        "name": image.name,
        "arch": image.arch,
        "digest": image.digest,
        "format": image.format,
        "path": str(image.path),
        "size_mib": image.size_mib,
        "source": done.source,
        "sha256": done.sha256,
        "known": done.known,
    }


# --- vct image publish ---------------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("names", metavar="[IMAGE]...", nargs=-1, shell_complete=complete_image)
@click.option(
    "--arch", type=click.Choice(ARCHITECTURES), multiple=True, help="Only these architectures."
)
@click.option(
    "--compression-level",
    "level",
    type=click.IntRange(0, 9),
    metavar="N",
    help="How hard to compress: 0-9.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=publishing.KEEP,
    show_default=True,
    metavar="N",
    help="How many versions of each image stay.",
)
def publish(
    directory: Path, names: tuple[str, ...], arch: tuple[str, ...], level: int | None, keep: int
) -> None:
    """Write images into a directory that any web server can serve; by default all of them.

    Clients are LXC (lxc-create -t download), Incus, LXD, and vct image import.
    """
    here = session()
    images = _chosen(here.home.images, names, arch)
    if here.dry_run:
        data = [{"name": one.name, "arch": one.arch, "digest": one.digest} for one in images]
        here.emit(data, lambda: _plan_words(directory, images))
        return
    here.require_root("an image's files are of all its users")
    os.umask(0o022)  # a web server reads it
    with store.lock_for_build(here.home.images, here.say), BuildProgress(here) as progress:
        done = publishing.publish(
            directory.absolute(), images, level=level, keep=keep, report=progress.report
        )
    here.emit([asdict(one) for one in done], lambda: _table(done))


def _chosen(images: Path, names: Sequence[str], arch: Sequence[str]) -> list[store.Image]:
    """The images of these names for all architectures that are there, or for those named."""
    wanted = arch or ARCHITECTURES
    have = [one for one in store.image_names(images) if one[1] in wanted]
    for name in names:
        if name not in [one for one, _ in have]:
            store.find_image(images, name, wanted[0])  # says what is wrong, and what to do
    found = [
        store.find_image(images, name, one) for name, one in have if not names or name in names
    ]
    if not found:
        raise UsageError("there is no image to publish", hint="make one: vct build NAME")
    return found


def _plan_words(directory: Path, images: Sequence[store.Image]) -> str:
    return "\n".join(f"would publish {one.name} for {one.arch} in {directory}" for one in images)


def _table(done: Sequence[publishing.Published]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("image", "arch", "version", "MiB", "", box=SIMPLE)
    for one in done:
        words = "written" if one.new else "was there"
        table.add_row(one.name, one.arch, one.version, f"{one.size / MIB:.1f}", words)
    return table
