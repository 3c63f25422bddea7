"""The few host-wide facts that vct changes, remembered so that the last testbed puts them back.

IPv4 forwarding, and the shared mount at /run/netns. What was there before is in /run/vct-host.json,
on a tmpfs: a reboot forgets it together with the changes. Whether another testbed still needs
them is read from the kernel: uplinks carry the mark of their installation.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vct.drivers import netns
from vct.drivers.network import HOST, Network
from vct.drivers.textfiles import read, write
from vct.errors import VctError
from vct.paths import NAMESPACES

RECORD = Path("/run/vct-host.json")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def forwarding() -> bool:
    """Whether the host forwards IPv4 between its interfaces."""
    return FORWARDING.read_text().strip() == "1"


class HostWide:
    """Changes host-wide facts for a testbed and takes the changes back after the last one."""

    def __init__(self, network: Network, record: Path = RECORD) -> None:
        self._network = network
        self._record = record

    @contextmanager
    def namespaces(self) -> Iterator[None]:
        """Prepare the directory of named namespaces, and remember what we did to it.

        It stays until the block, which makes a namespace, has ended: another testbed's `release`
        waits for that.
        """
        with self._locked() as before:
            if not netns.directory_mounted():
                was = "there" if NAMESPACES.is_dir() else "absent"
                self._remember(before | {"namespaces": was})
                netns.share_directory()
            yield

    def want_forwarding(self) -> None:
        """Switch forwarding on, and remember if it was off."""
        with self._locked() as before:
            if not forwarding():
                self._remember({"ip_forward": FORWARDING.read_text().strip()} | before)
                FORWARDING.write_text("1")

    def release(self) -> None:
        """Put back what no testbed of this host needs any more."""
        with self._locked() as before:
            if "ip_forward" in before and not self._in_use():
                FORWARDING.write_text(before.pop("ip_forward"))
            left = netns.namespace_names()
            if "namespaces" in before and not any(name.startswith("vct-") for name in left):
                # With others' namespaces in it, the directory is theirs from now on.
                was = before.pop("namespaces")
                if not left:
                    netns.unshare_directory(remove=was == "absent")
            self._remember(before)

    def _in_use(self) -> bool:
        aliases = [found.alias for found in self._network.look(HOST).values()]
        return any(alias.startswith("vct ") and alias != self._network.mark for alias in aliases)

    @contextmanager
    def _locked(self) -> Iterator[dict[str, str]]:
        """The record, under a lock on its directory."""
        directory = os.open(self._record.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield parse_record(read(self._record), self._record)
        finally:
            os.close(directory)

    def _remember(self, before: dict[str, str]) -> None:
        """Write the record, before the change that it is about; no file when it is empty."""
        if before:
            write(self._record, json.dumps(before))
        else:
            self._record.unlink(missing_ok=True)


def parse_record(text: str, file: Path) -> dict[str, str]:
    """The record. Raises VctError when it is damaged."""
    try:
        return {str(key): str(value) for key, value in json.loads(text or "{}").items()}
    except (ValueError, AttributeError):
        raise VctError(
            f"the record of what vct changed on this host is damaged: {file}",
            hint=f"forget it: rm {file}\nthen see to net.ipv4.ip_forward yourself",
        ) from None
