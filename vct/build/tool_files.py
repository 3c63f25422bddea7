"""The small files that a build's programs read: configurations of apt and dpkg, hooks, a policy.

Pure. Written by the builder below its `Places`, named by its steps.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from vct.build.places import ARCHIVES_IN_ROOT, Places
from vct.build.supplies import Supplies
from vct.model.recipe import Recipe

POLICY = "#!/bin/sh\n# No service starts while the image is built.\nexit 101\n"


def render_dpkg_conf(recipe: Recipe) -> str:
    """dpkg.cfg(5) that stays in the image, so that later layers leave out the same."""
    return "".join(f"path-exclude={pattern}\n" for pattern in recipe.exclude)


def render_hooks(places: Places) -> dict[str, str]:
    """mmdebstrap's hooks, by file name: they let it use our lists and the archive cache."""
    archives = shlex.quote(str(places.archives))
    inside = f'"$1{ARCHIVES_IN_ROOT}"'
    lists = shlex.quote(f"{places.apt / 'lists'}/.")
    return {
        "setup40-lists": f'#!/bin/sh -e\ncp -a {lists} "$1/var/lib/apt/lists/"\n',
        "setup50-archives": f"#!/bin/sh -e\nmkdir -p {inside}\nmount --bind {archives} {inside}\n",
        "customize99-archives": f"#!/bin/sh -e\numount {inside}\n",
    }


def render_apt_conf(
    arch: str, acquire: Iterable[str], places: Places | None, supplies: Supplies | None
) -> str:
    """apt.conf(5) for mmdebstrap (no `places`: it adds its own), or for the host's apt.

    `acquire` is the way to the mirror; `supplies` know it too.
    """
    lines = ['Acquire::Languages "none";', 'Acquire::Retries "3";', *acquire]
    lines = [*(supplies.options() if supplies else lines), 'APT::Sandbox::User "root";']
    if places is not None:
        lines += [
            f'APT::Architecture "{arch}";',
            f'APT::Architectures {{ "{arch}"; }};',
            'APT::Install-Recommends "false";',
            f'Dir "{places.root}";',
            f'Dir::State::status "{places.root}/var/lib/dpkg/status";',
            *(supplies.outside() if supplies else [f'Dir::State::lists "{places.work}/lists";']),
            'Dir::Cache::pkgcache "";',
            'Dir::Cache::srcpkgcache "";',
            f'DPkg::Chroot-Directory "{places.root}";',
            'DPkg::Options { "--force-unsafe-io"; };',
            'DPkg::Use-Pty "false";',
        ]
    return "\n".join(lines) + "\n"
