"""The mesh's files for the server's tincd: `<data>/tinc/hosts/NAME`, `connect` and `address`.

Written soon after a commit that changes a tinc host, once for many of them, and every half minute
by the worker, which puts right what a full disk prevented. Only what changed is written, each file
whole or not at all: tincd drops connections to hosts whose files were written again. Nothing here
is run as root: a service in the container copies what has a proper name, and is told so by a byte
in a pipe.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections

from vct.controller import config
from vct.controller.files.alone import LOCK, alone
from vct.controller.mgmt.addresses import Owner
from vct.controller.mgmt.mesh import Member, host_file, server_connects_to
from vct.controller.mgmt.models import (
    MAIN_SERVER_NAME,
    OWNERS,
    TincAddress,
    TincHost,
    mgmt_address,
    plan,
    tinc_name,
)
from vct.controller.nodes.models import MAIN_SERVER, Server
from vct.wire.limits import MgmtBackend
from vct.wire.tinc import Address

LOG = logging.getLogger(__name__)
HOSTS, CONNECT, ADDRESS = "hosts", "connect", "address"
PIPE = "changed"  # beside the settings file; made by the container
SOON_S = 0.2
_one_waits = threading.Lock()
_one_comes = threading.Lock()  # held from the first change of several until they are written


def load() -> dict[str, Member]:
    """Everybody in the mesh, by name. Who is in the management network natively is not.

    Asked for at every enrolment: two queries, and no objects are made of what they give.
    """
    addresses: dict[int | None, list[tuple[Address, int | None]]] = {}
    for host, addr, port, island in TincAddress.objects.values_list(
        "host", "addr", "port", "island"
    ):
        try:
            addresses.setdefault(host, []).append((Address(addr=addr, port=port), island))
        except ValueError as error:
            LOG.warning("an address that tinc cannot read is left out: %s", error)
    network = plan().mgmt_network
    found = {}
    for row in TincHost.objects.order_by("pk").values("pk", "pubkey", *_OWNED, *_CHOSEN):
        kind, number = _owner(row)
        if row[f"{kind}__mgmt_backend"] == MgmtBackend.TINC:
            chosen = _owner(row, "default_connect_to__")
            name = tinc_name(kind, number)
            found[name] = Member(
                name=name,
                pubkey=row["pubkey"],
                subnet=network(Owner(kind), number),
                addresses=tuple(addresses.get(row["pk"], ())),
                island=row.get(f"{kind}__island"),
                connect_to=tinc_name(*chosen) if chosen[0] else "",
            )
    return found


def changed() -> None:
    """Called after a commit. A request does not wait for the files; what has one thread only, as
    the worker, whose process forks, gets no second one."""
    if threading.current_thread() is threading.main_thread():
        refresh()
    elif _one_comes.acquire(blocking=False):
        threading.Timer(SOON_S, _refresh_soon).start()


def _refresh_soon() -> None:
    _one_comes.release()  # before reading: what changes from now on is written once more
    try:
        refresh()
    except DatabaseError as error:
        LOG.warning("the mesh's files were not written: %s: tried again later", error)
    finally:
        connections.close_all()  # this thread's


def refresh() -> bool:
    """The files become what the registry says; whether something changed.

    Never fails: what cannot be written is logged and written later. While one call writes and one
    waits, others return at once: who waits sees their change, too.
    """
    if not _one_waits.acquire(blocking=False):
        return False
    waiting = True
    try:
        (settings.CONFIG.tinc / HOSTS).mkdir(mode=0o755, parents=True, exist_ok=True)
        with alone(settings.CONFIG.tinc):  # the last one to read is the last one to write
            _one_waits.release()
            waiting = False
            changed = _write(settings.CONFIG.tinc)
    except OSError as error:
        LOG.warning("the mesh's files were not written: %s: tried again later", error)
        return False
    finally:
        if waiting:
            _one_waits.release()
    if changed:
        tell()
    return changed


def tell() -> None:
    """Wake the service that copies the files, if there is one."""
    pipe = Path(os.environ[config.VARIABLE]).with_name(PIPE)
    try:
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return  # not in a container, or the service begins and looks by itself
    with os.fdopen(end, "wb", buffering=0) as file:
        if stat.S_ISFIFO(os.fstat(end).st_mode):
            file.write(b"\n")  # None, not an error, when it is full: it will be read anyway


_OWNED = (*OWNERS, *(f"{kind}__mgmt_backend" for kind in OWNERS), "node__island", "host__island")
_CHOSEN = tuple(f"default_connect_to__{kind}" for kind in OWNERS)


def _owner(row: Mapping[str, Any], of: str = "") -> tuple[str, int]:
    """The kind and id of whose tinc host it is; empty for nobody's."""
    return next(((kind, row[f"{of}{kind}"]) for kind in OWNERS if row[f"{of}{kind}"]), ("", 0))


def _write(directory: Path) -> bool:
    server = Server.objects.filter(pk=MAIN_SERVER).first()
    if server is None or server.mgmt_backend != MgmtBackend.TINC:
        return _put(directory, {}) | _put(directory / HOSTS, {})
    members = load()
    files = {}
    for name, member in members.items():
        try:
            files[name] = host_file(member)
        except ValueError as error:
            LOG.warning("%s is left out of the mesh: %s", name, error)
    if MAIN_SERVER_NAME not in files:
        return _put(directory, {}) | _put(directory / HOSTS, {})
    names = [name for name in server_connects_to(members) if name in files]
    connect = "".join(f"{name}\n" for name in names)
    # hosts first: who is to be connected to must be known
    return _put(directory / HOSTS, files) | _put(
        directory, {CONNECT: connect, ADDRESS: f"{mgmt_address(server)}\n"}
    )


def _put(directory: Path, files: Mapping[str, str]) -> bool:
    """The directory's files are these, and no others; whether something had to be done."""
    there = {path.name for path in directory.iterdir() if path.is_file() and path.name != LOCK}
    changed = False
    for name, text in files.items():
        path = directory / name
        if name not in there or path.read_bytes() != text.encode():
            _replace(path, text)
            changed = True
    for name in there - files.keys():
        (directory / name).unlink(missing_ok=True)
        changed = True
    return changed


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
