"""`vct image verify`, `lock`, `sbom`, `schema`: is an image what it is said to be, and of what."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vct.build import lock, rebuild, record, store
from vct.cli.build_progress import BuildProgress
from vct.cli.image import ARCH, IMAGE, MIRROR, RECIPES
from vct.cli.options import Command
from vct.cli.session import session
from vct.drivers.textfiles import write
from vct.errors import VctError


@click.command(cls=Command)
@IMAGE
@ARCH
@MIRROR
@RECIPES
def verify(image: str, arch: str, mirror: str, own_recipes: Path | None) -> None:
    """Build an image again, from the same package versions, and compare the two file by file.

    What the image starts from is taken as it is. The answer is in the exit code too.
    """
    here = session()
    here.require_root("images are made of files of root's")
    with BuildProgress(here) as progress:
        found = rebuild.verify_image(
            image,
            arch,
            images=here.home.images,
            own_recipes=own_recipes,
            mirror=mirror,
            progress=progress.report,
        )
    here.emit(found.data(), lambda: "\n".join(found.lines()))
    if not found.identical:
        raise click.exceptions.Exit(VctError.exit_code)


@click.command(name="lock", cls=Command)
@click.argument("names", metavar="[IMAGE]...", nargs=-1)
@ARCH
@click.option(
    "--output",
    "-o",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(lock.NAME),
    show_default=True,
    help="The lock file. What it says of other images stays.",
)
def lock_(names: tuple[str, ...], arch: str, file: Path) -> None:
    """Write down what images were made of: package versions, digests, and the mirror's state.

    Without a name: all images that are built for the architecture. To build the same again:
    vct build --locked FILE.
    """
    here = session()
    images = here.home.images
    wanted = names or tuple(name for name, one in store.image_names(images) if one == arch)
    entries = lock.load(file) if file.exists() else {}
    locked = []
    for name in wanted:
        found = store.find_image(images, name, arch)
        entries.setdefault(name, {})[arch] = rebuild.lock_entry(images, found)
        locked.append({"name": name, "arch": arch, "packages": len(record.packages_of(found))})
    if not here.dry_run:
        write(file, lock.render(entries))
    words = ", ".join(f"{one['name']} ({one['packages']} packages)" for one in locked)
    here.emit({"file": str(file), "images": locked}, lambda: f"{file}: {words or 'nothing'}")


@click.command(cls=Command)
@IMAGE
@ARCH
def sbom(image: str, arch: str) -> None:
    """Print an image's bill of materials: CycloneDX JSON."""
    from vct.build.sbom import render_sbom  # its library takes a moment

    found = store.find_image(session().home.images, image, arch)
    text = render_sbom(
        name=found.name,
        version=str(found.manifest.get("version", "1")),
        arch=found.arch,
        digest=found.digest,
        built=found.built,
        packages=record.packages_of(found),
    )
    click.echo(text, nl=False)


@click.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of recipe files, for editors."""
    from vct.model.recipe import recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
