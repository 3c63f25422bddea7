"""The program that a build runs to fetch a root file system; people use `vct build`.

    python -m vct.cli.fetch --sha256 HEX --format tar.xz --strip 0 --size-max-mib 512 \\
        --cache DIRECTORY URL ROOT

Its last words go to the build's log.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vct.build.fetch import fetched, unpack
from vct.errors import VctError, system_error
from vct.model.recipe import Fetch


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch, check and unpack; returns the exit code."""
    parser = argparse.ArgumentParser(prog="vct.cli.fetch")
    for name in ("--sha256", "--format"):
        parser.add_argument(name, required=True)
    for name in ("--strip", "--size-max-mib"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("url")
    parser.add_argument("root", type=Path)
    given = parser.parse_args(arguments)
    wanted = Fetch(
        url=given.url,
        sha256=given.sha256,
        format=given.format,
        strip=given.strip,
        size_max_mib=given.size_max_mib,
    )
    try:
        unpack(wanted, fetched(wanted, given.cache), given.root)
    except VctError as error:
        return _told(error)
    except OSError as error:  # a full disk
        return _told(system_error(error))
    return 0


def _told(error: VctError) -> int:
    sys.stderr.write(f"{error.message}\n{error.hint}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
