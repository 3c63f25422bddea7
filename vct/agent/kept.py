"""What the agent remembers over restarts and reboots: its state and the registry's documents.

Two files: `state.json`, small, written before anything that must not be done twice; `cache.json`,
the documents with their tags, so that a restart downloads nothing again and a node whose
controller is away stays what it was. A damaged file is as good as none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vct.agent.places import read, write
from vct.agent.publish import Links

FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """`of` says whose it is: node id and registry; another firmware begins anew.

    `boot_sn` is the registry's counter that was obeyed last, None before the first time;
    `rebooting` the mark of the boot that a reboot shall end, "" when none is due. `limits` are by
    resource: (most, by default) of one sliver.
    """

    of: str = ""
    state: str = ""
    boot_sn: int | None = None
    rebooting: str = ""
    direct_ifaces: tuple[str, ...] = ()
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cached:
    """A document of the registry's, and the tag that it had. `links`: what its header said."""

    etag: str
    body: dict[str, Any]
    links: Links = ()


Cache = dict[str, Cached]  # by path and query on the registry


def load_kept(path: Path, of: str) -> Kept:
    """What was kept for this node and registry. Raises OSError."""
    written = _object(path)
    if written.get("format") != FORMAT or written.get("of") != of:
        return Kept(of=of)
    try:
        return Kept(
            of=of,
            state=str(written["state"]),
            boot_sn=None if written["boot_sn"] is None else int(written["boot_sn"]),
            rebooting=str(written["rebooting"]),
            direct_ifaces=tuple(str(name) for name in written["direct_ifaces"]),
            limits={
                str(name): (int(most), int(usual))
                for name, (most, usual) in written["limits"].items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return Kept(of=of)


def save_kept(path: Path, kept: Kept) -> None:
    """Raises OSError."""
    write(path, json.dumps({"format": FORMAT, **asdict(kept)}) + "\n")


def load_cache(path: Path, of: str) -> Cache:
    """The documents that were kept for this node and registry. Raises OSError."""
    written = _object(path)
    if written.get("format") != FORMAT or written.get("of") != of:
        return {}
    try:
        return {
            str(place): Cached(
                etag=str(one["etag"]),
                body=dict(one["body"]),
                links=tuple((str(rel), str(uri)) for rel, uri in one["links"]),
            )
            for place, one in written["documents"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def save_cache(path: Path, of: str, cache: Cache) -> None:
    """Raises OSError."""
    names = [one.name for one in fields(Cached)]
    documents = {
        place: {name: getattr(cached, name) for name in names} for place, cached in cache.items()
    }
    write(path, json.dumps({"format": FORMAT, "of": of, "documents": documents}) + "\n")


def _object(path: Path) -> dict[str, Any]:
    try:
        written = json.loads(read(path))
    except (ValueError, RecursionError):
        return {}
    return written if isinstance(written, dict) else {}
