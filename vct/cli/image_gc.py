"""`vct image gc`: freeing what nothing uses, and saying what and how much."""

from __future__ import annotations

import click

from vct.build import gc, store
from vct.cli.options import Command
from vct.cli.session import session


@click.command(name="gc", cls=Command)
def gc_() -> None:
    """Free images, layers and downloaded packages that nothing uses.

    What has a name, what a container of this state root (VCT_HOME) is configured with, and what any
    process of this host has mounted stays. What a failed build has finished goes too.
    """
    here = session()
    images = here.home.images
    if not (images / "names").is_dir():
        here.emit(_data(gc.Unused(), 0.0), lambda: "there is nothing yet")
        return
    here.require_root("the images' files are root's")
    if here.dry_run:
        unused = gc.decide(gc.observe(images, here.home.root))
        gain = gc.gain_mib(images, unused)
        here.emit(_data(unused, gain), lambda: _words("would free", unused, gain))
        return
    with store.lock(images, here.say):
        unused = gc.decide(gc.observe(images, here.home.root))
        before = gc.used_mib(images)
        gc.free(images, unused)
        gain = max(0.0, before - gc.used_mib(images))
    here.emit(_data(unused, gain), lambda: _words("freed", unused, gain))


def _data(unused: gc.Unused, gain: float) -> dict[str, object]:
    return {
        "images": list(unused.images),
        "layers": list(unused.layers),
        "packages": [name for _arch, name in unused.packages],
        "mirror_lists": list(unused.mirrors),
        "freed_mib": round(gain, 1),
    }


def _words(verb: str, unused: gc.Unused, gain: float) -> str:
    if not unused:
        return "everything is in use"
    return f"{verb} {gain:.0f} MiB: {', '.join(gc.words(unused))}"
