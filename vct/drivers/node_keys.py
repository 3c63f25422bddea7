"""A node's own keys: of its REST API (EC P-256) and of its tinc daemon (RSA 2048).

Private keys are files of the node's, for root only, and never leave them: the controller gets a
certificate request and a public key. RSA keys take a third of a second of CPU each, so that some
are made ahead (vct build) and lie in a pool in the state root, each for one node. Called by
vct.verbs.enrolment; decides nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from vct.drivers.textfiles import read, write
from vct.errors import VctError
from vct.paths import Confine

if TYPE_CHECKING:
    from types import ModuleType

POOLED, PUBLIC = ".pem", ".pub"
POOL = 64  # keys that are made ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What others may know, in PEM: the PKCS#10 request of the API's key, the tinc key or None."""

    request: str
    tinc: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The keys of one node: where they are, the API's common name, whether it is in a tinc mesh."""

    files: Confine
    address: str
    tinc: bool


def ensure_keys(
    wishes: Sequence[Wish], pool: Path, on_made: Callable[[int], None] = lambda _count: None
) -> list[PublicKeys]:
    """Make what is missing, side by side; `on_made` hears how many RSA keys had to be made.

    Raises VctError for a key that is there and cannot be read.
    """
    made = [0]

    def tinc_key(wish: Wish) -> None:
        if wish.tinc and not take(pool, wish.files):
            _write_pair(wish.files.tinc_key, wish.files.tinc_public)
            made[0] += 1
            on_made(made[0])

    for wish in wishes:
        wish.files.root.mkdir(mode=0o755, exist_ok=True)
        if wish.tinc:
            wish.files.tinc.mkdir(mode=0o755, exist_ok=True)
    # OpenSSL does not hold the interpreter's lock: as many threads as there are CPUs help.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as workers:
        list(workers.map(tinc_key, [w for w in wishes if not w.files.tinc_key.exists()]))
    return [_public(wish) for wish in wishes]


def _public(wish: Wish) -> PublicKeys:
    files, making = wish.files, _key_making()
    if not files.api_key.exists():
        write(files.api_key, making.api_key(), mode=0o600)
    file = files.api_key
    try:
        request = making.certificate_request(read(file), wish.address)
        file = files.tinc_key
        if wish.tinc and not files.tinc_public.exists():
            write(files.tinc_public, making.public_half(read(file)))
    except ValueError as error:
        node = wish.files.root.parents[1].name  # nodes/0001/node/confine
        raise VctError(
            f"the private key {file} is damaged: {error}",
            hint=f"make new ones: vct node create {node} --renew-keys",
        ) from None
    return PublicKeys(request=request, tinc=read(files.tinc_public) if wish.tinc else None)


def forget_keys(files: Confine) -> None:
    """The next `ensure_keys` makes new ones."""
    for file in (files.tinc_key, files.tinc_public, files.api_key):
        file.unlink(missing_ok=True)


# --- the pool ------------------------------------------------------------------------------------


def take(pool: Path, files: Confine) -> bool:
    """Move a key of the pool to where it is needed; False when the pool is empty.

    A key is one node's only: who renames it first has it.
    """
    for file in pooled(pool):
        try:
            file.rename(files.tinc_key)
        except FileNotFoundError:  # another vct was quicker
            continue
        with suppress(FileNotFoundError):  # it can be made from the private one
            file.with_suffix(PUBLIC).rename(files.tinc_public)
        return True
    return False


def pooled(pool: Path) -> list[Path]:
    """The keys that are left."""
    try:
        return sorted(path for path in pool.iterdir() if path.suffix == POOLED)
    except (FileNotFoundError, NotADirectoryError):
        return []


def fill(pool: Path, count: int, on_made: Callable[[int], None] = lambda _count: None) -> int:
    """Make keys until there are `count`; returns how many were made."""
    missing = count - len(pooled(pool))
    if missing <= 0:
        return 0
    pool.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make(number: int) -> None:
        file = pool / f"{uuid4().hex}{POOLED}"
        _write_pair(file, file.with_suffix(PUBLIC))
        on_made(number)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as workers:
        list(workers.map(make, range(1, missing + 1)))
    return missing


def _write_pair(private: Path, public: Path) -> None:
    """The private key comes last and says that both are there."""
    key, half = _key_making().tinc_key()
    write(public, half)
    write(private, key, mode=0o600)


def _key_making() -> ModuleType:
    """Loaded when a key is really needed: that takes 0.1 s."""
    from vct.drivers import key_making

    return key_making
