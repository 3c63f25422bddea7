"""The vocabulary of wanted and seen: every kind of thing that vct makes for a testbed.

Frozen values of plain fields. A driver observes the things that exist, `vct.plan.wanted` names the
things that should, `vct.plan.diff` compares them field by field; so whatever a driver reports must
equal what was asked for, field by field, when all is well. The order of KINDS is the order of
making; unmaking goes the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from vct.quality import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something that vct makes. `key` names it among things of its kind."""

    noun: ClassVar[str]

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def restorable(self) -> bool:
        """Whether it can be made as it says: not so what was seen damaged, with parts missing."""
        return True

    def __str__(self) -> str:
        return f"{self.noun} {self.key}"

    def differences(self, seen: Thing) -> list[str]:
        """What must change in `seen` to become this: `memory_mib: 256 -> 512`, one per field."""
        return [
            f"{field.name}: {getattr(seen, field.name)} -> {getattr(self, field.name)}"
            for field in fields(self)
            if getattr(seen, field.name) != getattr(self, field.name)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys(Thing):
    """The testbed's ssh key pair, made once and kept until the testbed is flushed."""

    noun: ClassVar[str] = "key pair"
    testbed: str

    @property
    def key(self) -> str:
        return self.testbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric(Thing):
    """The testbed's own network namespace; it forwards IPv4 between its interfaces.

    `whole`: no name of the testbed is without its namespace, as a crash can leave it.
    """

    noun: ClassVar[str] = "fabric"
    namespace: str
    whole: bool = True

    @property
    def key(self) -> str:
        return self.namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge(Thing):
    """A bridge in the fabric. `addresses` are `address/prefix`, sorted."""

    noun: ClassVar[str] = "bridge"
    name: str
    mac: str
    addresses: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink(Thing):
    """The way out: a veth pair between host and fabric, NAT at both of its ends.

    Addresses are `address/30`. `forwarding` says that the host forwards IPv4. `door`, if any, is
    an `address:port` on the local network: the host finds it at the fabric's address, same port.
    """

    noun: ClassVar[str] = "uplink"
    interface: str
    host_address: str
    fabric_address: str
    nat: bool = True
    forwarding: bool = True
    door: str = ""

    @property
    def key(self) -> str:
        return self.interface

    @property
    def restorable(self) -> bool:
        return bool(self.host_address and self.fabric_address)


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpHost:
    """A fixed lease: the name without domain, and further names of other addresses.

    The controller has no `link_address`.
    """

    mac: str
    address: str
    name: str
    link_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dhcp(Thing):
    """DHCP and names on the local network: dnsmasq in the fabric."""

    noun: ClassVar[str] = "DHCP server"
    interface: str
    first: str
    last: str
    hosts: tuple[DhcpHost, ...] = ()

    @property
    def key(self) -> str:
        return self.interface

    @property
    def restorable(self) -> bool:
        return bool(self.first and self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles(Thing):
    """A node's directory: its host key, identity and writable layer of fixed size."""

    noun: ClassVar[str] = "files of node"
    node: str
    disk_mib: int

    @property
    def key(self) -> str:
        return self.node


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFiles(Thing):
    """The controller's directory: its secrets and writable layer of fixed size, where its data
    is."""

    noun: ClassVar[str] = "files of"
    disk_mib: int

    @property
    def key(self) -> str:
        return "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNetwork(Thing):
    """The network namespace of a node, or of the controller (`ctl`), with eth0 on the local bridge.

    `addresses` are `address/prefix`, sorted; `gateway` is the IPv4 default route. `joined`: the
    far end of eth0 is on the bridge.
    """

    noun: ClassVar[str] = "network of node"
    node: str
    namespace: str
    mac: str
    addresses: tuple[str, ...]
    gateway: str
    joined: bool = True

    @property
    def key(self) -> str:
        return self.node

    @property
    def restorable(self) -> bool:
        return bool(self.mac)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A node's interface on a link or segment: its address there and the neighbours' ones."""

    node: str
    namespace: str
    interface: str
    mac: str
    address: str
    neighbours: tuple[str, ...]
    up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire(Thing):
    """A point-to-point link: one veth pair between two nodes, or two TAPs joined by the relay.

    `device` is `veth` or `tap`. An end that is gone is None, which never equals what is wanted.
    """

    noun: ClassVar[str] = "link"
    link: str
    a: End | None
    b: End | None
    device: str = "veth"

    @property
    def key(self) -> str:
        return self.link

    @property
    def restorable(self) -> bool:
        return self.a is not None and self.b is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Port(Thing):
    """A node's interface on a segment: a veth pair from the node to the segment's bridge."""

    noun: ClassVar[str] = "port"
    segment: str
    bridge: str
    end: End
    fabric_interface: str

    @property
    def key(self) -> str:
        return f"{self.segment}:{self.end.node}"

    @property
    def restorable(self) -> bool:
        return bool(self.bridge and self.fabric_interface)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping(Thing):
    """What the kernel does to one direction of a link, from a node's interface to another's.

    `engine` is `netem`, or `kernel`: tbf on the sender's side for rate, random drop at the ingress
    of the receiver's side for loss. Only shaped directions have one, and none that the relay does.
    `direction` is `forward` (a to b as written) or `backward`.
    """

    noun: ClassVar[str] = "shaping of link"
    link: str
    direction: str
    source_namespace: str
    source_interface: str
    sink_namespace: str
    sink_interface: str
    engine: str
    quality: Quality

    @property
    def key(self) -> str:
        return f"{self.link}:{self.direction}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLink:
    """A link that the relay carries: TAP a, TAP b, and what happens to packets either way."""

    link: str
    a_namespace: str
    a_interface: str
    b_namespace: str
    b_interface: str
    forward: Quality
    backward: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay(Thing):
    """The testbed's relay process, and the links it carries, sorted by name."""

    noun: ClassVar[str] = "relay"
    testbed: str
    links: tuple[RelayLink, ...]

    @property
    def key(self) -> str:
        return self.testbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(Thing):
    """A node's system container, running.

    `root` is the image's directory, the layer below the node's own writable one; `image` its name
    and digest, for people. `disk_mib`: a disk gets another size at the node's start. `intact`: the
    configuration file says what vct wrote. `at_home`: it runs in the node's present network
    namespace. `system` is the number of the writable layer on its disk. `fallback` is `NUMBER:ROOT`
    of the system that takes its place when it reboots: that is, this one is on trial.
    """

    noun: ClassVar[str] = "node"
    node: str
    namespace: str
    hostname: str
    image: str
    root: str
    arch: str
    memory_mib: int
    disk_mib: int = 512
    boot: str = "fast"
    system: int = 1
    fallback: str = ""
    running: bool = True
    intact: bool = True
    at_home: bool = True

    @property
    def key(self) -> str:
        return self.node

    @property
    def restorable(self) -> bool:
        return bool(self.arch) and not self.fallback  # a trial that is over is not taken up again


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller(Thing):
    """The controller's system container, running. Fields as a Container's.

    `hosts` are the names and addresses that it may be called by, the host's own way first;
    `management` is how it reaches its nodes: `tinc` or `native`.
    """

    noun: ClassVar[str] = "system of"
    namespace: str
    hostname: str
    image: str
    root: str
    arch: str
    memory_mib: int
    disk_mib: int
    hosts: tuple[str, ...]
    management: str = "tinc"
    running: bool = True
    intact: bool = True
    at_home: bool = True

    @property
    def key(self) -> str:
        return "controller"

    @property
    def restorable(self) -> bool:
        return bool(self.arch)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMount(Thing):
    """A stopped node's file system, mounted on the host to look into; a testbed that is up has
    none."""

    noun: ClassVar[str] = "mount of node"
    node: str
    root: str

    @property
    def key(self) -> str:
        return self.node


KINDS: tuple[type[Thing], ...] = (
    Keys,
    NodeFiles,
    ControllerFiles,
    Fabric,
    Bridge,
    Uplink,
    NodeNetwork,
    Dhcp,
    Wire,
    Port,
    Relay,
    Shaping,
    Controller,
    Container,
    OfflineMount,
)

KEEPSAKES: frozenset[type[Thing]] = frozenset({Keys, NodeFiles, ControllerFiles})
"""Kinds whose loss cannot be undone: they hold users' data and are deleted last of all."""
