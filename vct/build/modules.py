"""Some of vct's own modules as plain files, for images that run them: the agent in a node.

Only what a recipe names is an input of its image, so a change elsewhere makes no new image.
"""

from __future__ import annotations

from pathlib import Path

import vct

DIRECTORY = "usr/share/vct/modules"  # in the image; what a program there adds to its path
PACKAGE = Path(vct.__file__).parent


def module_files(names: tuple[str, ...]) -> dict[str, bytes]:
    """Path in the image to content: modules, whole rooms, and the packages that they are in.

    Raises ValueError naming one that vct has not.
    """
    found: dict[str, bytes] = {}
    for name in names:
        place = PACKAGE.parent.joinpath(*name.split("."))
        sources = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        if not sources or not sources[0].is_file():
            raise ValueError(name)
        around = [
            parent / "__init__.py"
            for parent in place.parents
            if PACKAGE in (parent, *parent.parents)
        ]
        for source in (*around, *sources):
            path = source.relative_to(PACKAGE.parent)
            found[f"{DIRECTORY}/{path.as_posix()}"] = source.read_bytes()
    return dict(sorted(found.items()))
