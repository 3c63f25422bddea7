"""The host files of a testbed's tinc mesh, from the REST API of any CONFINE controller.

Needs no testbed here and no root. Reads servers, nodes, hosts and gateways, in the newer dialect of
the API or the older, and keeps a directory's files as they say. Nothing is written before all was
read; names, addresses and keys that are not what they should be are refused one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from vct.drivers.rest import Rest, RestError
from vct.drivers.textfiles import read, write
from vct.errors import RefusedError
from vct.wire import tinc
from vct.wire.limits import TINC_PORT

MARK = ".vct-tinc-hosts"  # in the directory: which files are ours
FORMAT = "vct tinc hosts 1"
KINDS = ("server", "node", "host", "gateway")
MAIN_SERVER = 2
# what is added to the management prefix, beside the id; a node's id is above its 64 bits
_BASES = {"server": 0, "host": 0x2000 << 48, "gateway": 0x1 << 48}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something of the controller's that got no file, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The host files' texts by name, and what there is none of."""

    files: dict[str, str]
    without_key: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done in `directory`: names of files. `kept` are not ours and were left alone."""

    base: str
    directory: str
    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]
    without_key: int
    refused: tuple[Refused, ...]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def fetch(api: Rest) -> Fetched:
    """Everything that the controller knows of the mesh. Raises RestError."""
    prefix = _prefix(api)
    files: dict[str, str] = {}
    refused: list[Refused] = []
    without_key = 0
    for kind, thing in _things(api):
        if not isinstance(thing, dict) or not thing.get("tinc"):
            without_key += 1
            continue
        try:
            name, host = host_of(kind, thing, prefix)
            if name in files:
                raise ValueError(f"there are two of the name {name}")
            files[name] = tinc.render_host(host)
        except (ValueError, TypeError) as error:
            refused.append(Refused(what=_called(kind, thing), reason=str(error)))
    return Fetched(files=files, without_key=without_key, refused=tuple(refused))


def host_of(
    kind: str, thing: dict[str, Any], prefix: IPv6Network | None = None
) -> tuple[str, tinc.HostFile]:
    """The name and host file of a server, node, host or gateway as the API has it.

    Raises ValueError (TypeError for a member of another type) when its name, address or key is not
    that which belongs to its id.
    """
    told = thing["tinc"]
    if not isinstance(told, dict):
        raise ValueError("tinc is not an object")
    name = tinc.check_name(_text(told, "name"))
    number = thing.get("id", MAIN_SERVER if name == tinc.SERVER else None)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{number!r} is no id")
    if name != f"{kind}_{number}" and (kind, name) != ("server", tinc.SERVER):
        raise ValueError(f"its name in tinc is {name}, not {kind}_{number}")
    address = IPv6Address(_text(thing.get("mgmt_net"), "addr"))
    prefix = prefix or IPv6Network((address, 48), strict=False)
    wanted = prefix.network_address + (
        (number << 64) + 2 if kind == "node" else _BASES[kind] + number
    )
    if address != wanted:
        raise ValueError(f"its management address is {address}, not {wanted}")
    subnet = IPv6Network((wanted - 2, 64)) if kind == "node" else IPv6Network(wanted)
    addresses = tuple(
        tinc.Address(addr=_text(one, "addr"), port=_port(one))
        for one in told.get("addresses") or ()
    )
    key = _text(told, "pubkey")
    return name, tinc.HostFile(pubkey=key, subnets=(subnet,), addresses=addresses)


def keep(api: Rest, directory: Path, fetched: Fetched, *, dry_run: bool = False) -> Outcome:
    """Makes the directory's files those that were fetched; only its own are changed or removed.

    Raises RefusedError when the directory's files are of another controller.
    """
    own = _own(directory, api.base)
    there = {name for name in fetched.files if (directory / name).exists()}
    kept = there - own
    same = {name for name in there & own if read(directory / name) == fetched.files[name]}
    written = fetched.files.keys() - kept - same
    removed = own - fetched.files.keys()
    if not dry_run:
        directory.mkdir(parents=True, exist_ok=True)
        _write_mark(directory, api.base, own | written)  # first: what is written is always ours
        for name in sorted(written):
            write(directory / name, fetched.files[name])
        for name in removed:
            (directory / name).unlink(missing_ok=True)
        _write_mark(directory, api.base, same | written)
    return Outcome(
        base=api.base,
        directory=str(directory),
        written=tuple(sorted(written)),
        removed=tuple(sorted(removed)),
        unchanged=tuple(sorted(same)),
        kept=tuple(sorted(kept)),
        without_key=fetched.without_key,
        refused=fetched.refused,
    )


def _things(api: Rest) -> list[tuple[str, Any]]:
    """(kind, object) of all; the older dialect has one server and gateways."""
    lists: tuple[tuple[str, Callable[[], list[Any]]], ...] = (
        ("server", lambda: api.everything("servers/")),
        ("server", lambda: [api.document("server/")]),
        ("node", lambda: api.everything("nodes/")),
        ("host", lambda: api.everything("hosts/")),
        ("gateway", lambda: api.everything("gateways/")),
        ("gateway", lambda: api.everything("v0/gateways/")),
    )
    found: dict[str, list[Any]] = {}
    for kind, ask in lists:
        if kind in found:
            continue
        try:
            found[kind] = ask()
        except RestError as error:
            if error.status != HTTPStatus.NOT_FOUND or kind == "node":
                raise
    return [(kind, thing) for kind in KINDS for thing in found.get(kind, ())]


def _prefix(api: Rest) -> IPv6Network | None:
    """The management network; None where the controller does not say."""
    base = api.document()
    told = base.get("testbed_params") if isinstance(base, dict) else None
    text = told.get("mgmt_ipv6_prefix") if isinstance(told, dict) else None
    with suppress(ValueError):
        return IPv6Network(str(text)) if text else None
    return None


def _own(directory: Path, base: str) -> set[str]:
    """The names of the files that we wrote there, as the mark says."""
    text = read(directory / MARK)
    if not text:
        return set()
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        mark = json.loads(text)
        if mark["format"] == FORMAT:
            if mark["base"] != base:
                raise RefusedError(
                    f"{directory} has the hosts of {mark['base']}",
                    hint=f"choose another directory, or: rm {directory / MARK}",
                )
            return {tinc.check_name(name) for name in mark["files"]}
    raise RefusedError(
        f"{directory / MARK} cannot be read: which files there are ours is not known",
        hint=f"choose another directory, or: rm {directory / MARK}",
    )


def _write_mark(directory: Path, base: str, names: set[str]) -> None:
    mark = {"format": FORMAT, "base": base, "files": sorted(names)}
    text = json.dumps(mark, indent=1) + "\n"
    if read(directory / MARK) != text:
        write(directory / MARK, text)


def _called(kind: str, thing: dict[str, Any]) -> str:
    return f"{kind} {ascii(thing.get('id'))[:40]}"


def _text(thing: Any, member: str) -> str:
    value = thing.get(member) if isinstance(thing, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"{member} is not a text")
    return value


def _port(address: dict[str, Any]) -> int:
    port = address.get("port")
    if port is None:
        return TINC_PORT
    if not isinstance(port, int) or isinstance(port, bool):
        raise ValueError("port is not a number")
    return port
