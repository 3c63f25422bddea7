"""DHCP and names on a testbed's local network: one dnsmasq in the fabric.

Every node has a fixed lease and two names: `rd0001` on the local network, `rd0001.link` on its
links. Other devices get the addresses of DESIGN section 7. What it was told is read back from its
files, that it lives from its process.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from vct import names
from vct.drivers import netns
from vct.drivers.daemons import Daemon
from vct.drivers.netns import inside_command
from vct.drivers.network import Network
from vct.drivers.process import run
from vct.drivers.textfiles import read, write
from vct.paths import TestbedPaths
from vct.plan.things import Dhcp, DhcpHost

RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class DhcpDriver:
    """Runs and observes the testbed's dnsmasq."""

    kind = Dhcp
    workers = 1

    def __init__(self, network: Network, paths: TestbedPaths) -> None:
        self._network = network
        self._directory = paths.run / "dhcp"
        self._config = self._directory / "dnsmasq.conf"
        self._pid_file = self._directory / "dnsmasq.pid"
        self._leases = self._directory / "hosts"
        self._names = self._directory / "names"
        mark = f"--conf-file={self._config}"
        self._daemon = Daemon(what="dnsmasq", is_its=lambda words: words[1:2] == [mark])

    def observe(self) -> list[Dhcp]:
        pid = self._pid()
        if not pid:
            return []
        seen = parse_dhcp(read(self._config), read(self._leases), read(self._names))
        here = netns.namespace_inode(self._network.fabric)
        # One in a fabric that lost its name serves nobody: it is seen as one with other addresses.
        return [seen if netns.inode_of(pid) == here else replace(seen, first="", last="")]

    def claim(self, thing: Dhcp) -> None:
        pass  # inside the testbed's own namespace and directory

    def create(self, thing: Dhcp) -> None:
        self.delete(thing)
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._write(thing)
        command = ["dnsmasq", f"--conf-file={self._config}"]
        run(inside_command(self._network.fabric, command), timeout_s=10)

    def change(self, was: Dhcp, thing: Dhcp) -> None:
        """Nodes that come and go are read anew; anything else needs a new process."""
        pid = self._pid()
        if not pid or (was.interface, was.first, was.last) != (
            thing.interface,
            thing.first,
            thing.last,
        ):
            self.create(thing)
            return
        self._write(thing)
        os.kill(pid, signal.SIGHUP)

    def delete(self, thing: Dhcp) -> None:
        pid = self._pid()
        if pid:
            self._daemon.end(pid)
        if self._directory.exists():
            shutil.rmtree(self._directory)

    def _write(self, thing: Dhcp) -> None:
        write(self._config, render_config(thing, self._directory, find_resolver()))
        write(self._leases, render_leases(thing.hosts))
        write(self._names, render_names(thing.hosts))

    def _pid(self) -> int:
        """The running dnsmasq that was started with our file; 0 if there is none."""
        text = read(self._pid_file).strip()
        if text.isdigit() and self._daemon.is_at(int(text)):
            return int(text)
        if not self._directory.exists() and self._network.fabric not in self._network.snapshot:
            return 0
        # A crash came before it had written the file, or somebody removed that.
        return self._daemon.find() or 0


def render_config(thing: Dhcp, directory: Path, resolver: Path | None) -> str:
    """dnsmasq's configuration; `resolver` is a resolv.conf that works from the fabric."""
    leases = f"{thing.first},{thing.last},{names.LOCAL_NETWORK.netmask}"
    lines = [
        f"interface={thing.interface}",
        "bind-interfaces",
        "except-interface=lo",
        "no-hosts",
        f"pid-file={directory / 'dnsmasq.pid'}",
        f"dhcp-leasefile={directory / 'leases'}",
        "dhcp-authoritative",
        "no-ping",
        f"domain={names.DOMAIN}",
        f"local=/{names.DOMAIN}/",
        "expand-hosts",
        "user=root",
        f"dhcp-range={leases},1h",
        f"dhcp-option=option:router,{names.LOCAL_GATEWAY}",
        f"dhcp-hostsfile={directory / 'hosts'}",
        f"addn-hosts={directory / 'names'}",
    ]
    lines.append(f"resolv-file={resolver}" if resolver else "no-resolv")
    return "\n".join(lines) + "\n"


def render_leases(hosts: tuple[DhcpHost, ...]) -> str:
    """dnsmasq's dhcp-hostsfile: a fixed lease per line, `MAC,address,name`."""
    return "".join(f"{host.mac},{host.address},{host.name}\n" for host in hosts)


def render_names(hosts: tuple[DhcpHost, ...]) -> str:
    """Names as in /etc/hosts: each node on the local network, and on its links."""
    lines = []
    for host in hosts:
        lines.append(f"{host.address} {host.name}\n")
        if host.link_address:
            lines.append(f"{host.link_address} {host.name}.link.{names.DOMAIN}\n")
    return "".join(lines)


def parse_dhcp(config: str, leases: str, known: str) -> Dhcp:
    """The thing that these three files were rendered from; one that nobody wants if they were
    not."""
    options = dict(line.split("=", 1) for line in config.splitlines() if "=" in line)
    first, last, *_ = (options.get("dhcp-range", "") + ",,").split(",")
    by_name = dict(line.partition(" ")[::-2] for line in known.splitlines())
    fixed = [(line + ",,").split(",")[:3] for line in leases.splitlines()]
    hosts = tuple(
        DhcpHost(
            mac=mac,
            address=address,
            name=name,
            link_address=by_name.get(f"{name}.link.{names.DOMAIN}", ""),
        )
        for mac, address, name in fixed
    )
    if (render_leases(hosts), render_names(hosts)) != (leases, known):
        first = last = ""
    interface = options.get("interface", names.LOCAL_BRIDGE)
    return Dhcp(interface=interface, first=first, last=last, hosts=hosts)


def find_resolver(candidates: tuple[Path, ...] = RESOLVERS) -> Path | None:
    """A resolv.conf whose name servers can be reached from a namespace: none on loopback."""
    for file in candidates:
        servers = [
            line.split()[1]
            for line in read(file).splitlines()
            if line.startswith("nameserver") and len(line.split()) > 1
        ]
        if servers and not any(ip_address(s.split("%")[0]).is_loopback for s in servers):
            return file
    return None
