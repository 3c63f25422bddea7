"""A node on a temporary directory: its firmware, its files, an agent that is run cycle by cycle."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.agent.certificates import AUTHORITY, an_authority, pem
from vct.agent.cycle import Agent
from vct.agent.log import Log
from vct.agent.places import Places
from vct.agent.publish import Published
from vct.wire.firmware import (
    AgentSection,
    MgmtSection,
    NodeConfig,
    NodeSection,
    RegistrySection,
    TestbedSection,
    render,
)
from vct.wire.limits import MgmtBackend

ARCH = os.uname().machine
MEMINFO = "MemTotal:        1048576 kB\nMemFree:  1 kB\n"
CPUINFO = "processor\t: 0\nmodel name\t: A CPU\ncpu MHz\t\t: 1000.0\n"


def a_config(base_uri: str, node: int = 1, cert: str = "", poll_s: float = 10) -> NodeConfig:
    return NodeConfig(
        node=NodeSection(id=node, name="roof", arch=ARCH),
        mgmt_net=MgmtSection(backend=MgmtBackend.NATIVE, addr=f"fd65:fc41:c50f:{node:x}::2"),
        registry=RegistrySection(base_uri=base_uri, cert=cert),
        testbed=TestbedSection(
            name="ring",
            mgmt_ipv6_prefix="fd65:fc41:c50f::/48",
            priv_ipv6_prefix="fdbd:e804:6aa9::/48",
            debug_ipv6_prefix="fd5f:eee5:e6ad::/48",
        ),
        agent=AgentSection(poll_s=poll_s),
    )


class ANode:
    """`reboots` counts those that were asked for; `agent` is replaced by `restart`."""

    def __init__(self, directory: Path, config: NodeConfig) -> None:
        self.places = Places(
            firmware=directory / "firmware",
            persist=directory / "persist",
            log=directory / "log/agent.log",
            run=directory / "run",
            proc=directory / "proc",
            sys=directory / "sys",
            version=directory / "version",
        )
        for link in ("lo", "eth0", "eth1"):
            (self.places.sys / "class/net" / link).mkdir(parents=True)
        (self.places.sys / "class/net/eth0/address").write_text("52:54:00:00:00:01\n")
        (self.places.proc / "net").mkdir(parents=True)
        (self.places.proc / "meminfo").write_text(MEMINFO)
        (self.places.proc / "cpuinfo").write_text(CPUINFO)
        self.places.version.write_text("vct.abcdef0-1\n")
        self.reboots = 0
        self.boots = 1
        self.write_firmware(config)
        self.restart()

    def write_firmware(self, config: NodeConfig, text: str = "") -> None:
        self.config = config
        self.places.firmware.mkdir(exist_ok=True)
        (self.places.firmware / "registry.crt.pem").write_text(pem(an_authority(AUTHORITY)[0]))
        (self.places.firmware / "node.json").write_text(text or render(config))

    def restart(self, **others: Any) -> None:
        """As init does after the agent was killed."""
        self.published = Published()
        self.agent = Agent(
            self.places,
            self.published,
            Log(self.places.log),
            reboot=self._reboot,
            boot_mark=f"boot {self.boots}",
            **others,
        )

    def boot(self) -> None:
        self.boots += 1
        self.restart()

    def _reboot(self) -> None:
        self.reboots += 1

    def cycle(self) -> dict[str, Any]:
        """One cycle, and what the node says of itself after it."""
        self.agent.cycle()
        said: dict[str, Any] = self.said("/node/")
        return said

    def said(self, path: str) -> Any:
        return self.published.tree.documents[path].body

    def errors(self) -> str:
        return " ".join(
            f"{one['member']} {one['message']}" for one in self.said("/node/")["errors"]
        )

    def authorized(self) -> str:
        path = self.places.authorized_keys
        return path.read_text() if path.exists() else ""

    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.places.state.read_text())
        return found


def of_registry(directory: Path, base_uri: str, **changes: Any) -> ANode:
    config = a_config(base_uri)
    return ANode(directory, replace(config, **changes))
