"""A root file system that somebody else made: fetched from a URL, checked, unpacked.

One of the builder's steps, so it runs as a program of its own in the build's namespaces
(vct.cli.fetch). What was fetched is kept in the cache by its sha256, so it is fetched once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vct.build import archive
from vct.build.download import check_sha256, download
from vct.build.formats.source import check_squashfs, unsquash
from vct.build.formats.tree import check_tree, file_digest
from vct.model.recipe import Fetch

MIB = 1 << 20


def fetch_argv(fetch: Fetch, cache: Path, root: Path) -> tuple[str, ...]:
    """The step that fills `root`, an empty directory."""
    return (
        sys.executable,
        "-m",
        "vct.cli.fetch",
        f"--sha256={fetch.sha256}",
        f"--format={fetch.format}",
        f"--strip={fetch.strip}",
        f"--size-max-mib={fetch.size_max_mib}",
        f"--cache={cache}",
        "--",
        fetch.url,
        str(root),
    )


def fetched(fetch: Fetch, cache: Path) -> Path:
    """The file, from the cache or from its URL. Raises VctError when it is not what was named."""
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / fetch.sha256
    if kept.is_file() and file_digest(kept) == fetch.sha256:
        return kept
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as directory:
        new = Path(directory) / "file"
        # packed it is smaller than unpacked, or nearly so
        download(fetch.url, new, sha256=fetch.sha256, size_max=fetch.size_max_mib * MIB)
        check_sha256(fetch.url, file_digest(new), fetch.sha256)
        new.rename(kept)
    return kept


def unpack(fetch: Fetch, file: Path, root: Path) -> None:
    """Unpack into an empty directory. Raises VctError for what would reach out or is too large."""
    if fetch.format == "squashfs":
        _unsquash(file, root, fetch.size_max_mib * MIB)
    else:
        archive.unpack(
            file, root, size_max=fetch.size_max_mib * MIB, strip=fetch.strip, devices=True
        )


def _unsquash(file: Path, root: Path, size_max: int) -> None:
    check_squashfs(file, size_max=size_max, entries_max=archive.ENTRIES_MAX)
    root.rmdir()
    unsquash(file, root)
    check_tree(root, file.name, size_max=size_max, entries_max=archive.ENTRIES_MAX)
