"""The one table of drivers: which kind of thing is made by what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vct.drivers.base import Driver
from vct.drivers.containers import ContainerDriver
from vct.drivers.controller import ControllerDriver, ControllerFilesDriver
from vct.drivers.dhcp import DhcpDriver
from vct.drivers.fabric import BridgeDriver, FabricDriver
from vct.drivers.files import KeysDriver, NodeFilesDriver
from vct.drivers.hostwide import HostWide
from vct.drivers.mounts import OfflineMountDriver
from vct.drivers.network import Network
from vct.drivers.node_network import NodeNetworkDriver
from vct.drivers.relay import RelayDriver
from vct.drivers.shaping import ShapingDriver
from vct.drivers.uplink import UplinkDriver
from vct.drivers.wire import PortDriver, WireDriver
from vct.paths import Home
from vct.plan.things import Thing


def release_host(home: Home, testbed: str) -> None:
    """Put back what a crash of this testbed left changed host-wide and no other one needs."""
    with Network(home.root, testbed) as network:
        HostWide(network).release()


@contextmanager
def open_drivers(home: Home, testbed: str) -> Iterator[dict[type[Thing], Driver[Any]]]:
    """The drivers of one testbed, for the length of the block."""
    paths = home.testbed(testbed)
    with Network(home.root, testbed) as network:
        host = HostWide(network)
        drivers: list[Driver[Any]] = [
            KeysDriver(paths),
            NodeFilesDriver(paths),
            ControllerFilesDriver(paths),
            FabricDriver(network, host),
            BridgeDriver(network),
            UplinkDriver(network, host),
            NodeNetworkDriver(network),
            DhcpDriver(network, paths),
            WireDriver(network),
            PortDriver(network),
            RelayDriver(paths),
            ShapingDriver(network),
            ControllerDriver(paths),
            ContainerDriver(paths),
            OfflineMountDriver(paths),
        ]
        yield {driver.kind: driver for driver in drivers}
