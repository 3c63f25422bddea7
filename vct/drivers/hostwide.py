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

    def want_namespaces(self) -> None:
        """Prepare the directory of named namespaces, and remember if we did."""
        with self._locked() as before:
            if netns.share_directory():
                before["namespaces"] = "made"

    def want_forwarding(self) -> None:
        """Switch forwarding on, and remember if it was off."""
        with self._locked() as before:
            if not forwarding():
                before.setdefault("ip_forward", FORWARDING.read_text().strip())
                FORWARDING.write_text("1")

    def release(self) -> None:
        """Put back what no testbed of this host needs any more."""
        with self._locked() as before:
            if "ip_forward" in before and not self._in_use():
                FORWARDING.write_text(before.pop("ip_forward"))
            left = netns.namespace_names()
            if "namespaces" in before and not any(name.startswith("vct-") for name in left):
                # With others' namespaces in it, the directory is theirs from now on.
                del before["namespaces"]
                if not left:
                    netns.unshare_directory()

    def _in_use(self) -> bool:
        links = self._network.at(HOST).get_links()
        aliases = [link.get("ifalias") or "" for link in links]
        return any(alias.startswith("vct ") and alias != self._network.mark for alias in aliases)

    @contextmanager
    def _locked(self) -> Iterator[dict[str, str]]:
        """The record as it is and will be, under a lock on its directory; no file when empty."""
        directory = os.open(self._record.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            was = self._record.read_text() if self._record.exists() else "{}"
            before: dict[str, str] = json.loads(was)
            yield before
            if before:
                self._record.write_text(json.dumps(before))
            else:
                self._record.unlink(missing_ok=True)
        finally:
            os.close(directory)
