"""A node's configuration: the one readable file that makes a container a node of a testbed.

The controller renders it, vct writes it to `/etc/vct/node/confine/node.json` in the node, and the
agent reads it; keys and certificates lie beside it (`API_KEY` and others). Standard library only.
A member that this version does not know is ignored: an older agent reads a newer controller's file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import AddressValueError, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError
from typing import Any
from urllib.parse import urlsplit

from vct.wire.limits import DIRECT_INTERFACE_NAME, NODE_LAST, Arch, MgmtBackend
from vct.wire.relations import REL_BASE

FORMAT = "vct node 1"
SIZE_MAX = 65_536
DIRECTORY = "/etc/vct/node/confine"  # in the node, read-only
# names below that directory
CONFIG = "node.json"
API_KEY, API_CERT, REGISTRY_CERT = "api.key.pem", "api.crt.pem", "registry.crt.pem"
TINC = "tinc"
TINC_KEY, TINC_CONF = "tinc/rsa_key.priv", "tinc/tinc.conf"
TINC_UP, TINC_DOWN, TINC_HOSTS = "tinc/tinc-up", "tinc/tinc-down", "tinc/hosts"
SECRET_FILES = frozenset({API_KEY, TINC_KEY})  # mode 0600, the controller never sees those of vct
SCRIPTS = frozenset({TINC_UP, TINC_DOWN})  # mode 0755; all others 0644

_MAC_PREFIX = re.compile(r"0x[0-9a-fA-F]{4}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """What the registry's node record says and a node must know before it can ask."""

    id: int
    name: str
    arch: str
    local_iface: str = "eth0"
    sliver_mac_prefix: str = "0x54c0"  # the first 16 bits
    priv_ipv4_prefix: str = "192.168.241.0/24"
    sliver_pub_ipv4: str = "dhcp"  # or none, range
    sliver_pub_ipv4_range: str = "#8"
    sliver_pub_ipv6: str = "none"  # or dhcp, auto


@dataclass(frozen=True, slots=True, kw_only=True)
class MgmtSection:
    """How the node is reached in the management network, and where."""

    backend: MgmtBackend
    addr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySection:
    """Whom the node asks. `cert` is a file beside this one, empty: nothing is verified."""

    base_uri: str  # ends with a slash
    cert: str = REGISTRY_CERT
    link_base: str = REL_BASE


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSection:
    """What all nodes of a testbed share: three /48."""

    __test__ = False  # not a class of tests, whatever its name begins with

    name: str
    mgmt_ipv6_prefix: str
    priv_ipv6_prefix: str
    debug_ipv6_prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSection:
    """How the agent works. `poll_s`: seconds between two cycles that nothing asked for."""

    poll_s: float = 60
    sync_node_admins: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The whole file."""

    node: NodeSection
    mgmt_net: MgmtSection
    registry: RegistrySection
    testbed: TestbedSection
    agent: AgentSection = field(default_factory=AgentSection)


def render(config: NodeConfig) -> str:
    """The file's text: JSON, the same for the same configuration."""
    return json.dumps({"format": FORMAT, **asdict(config)}, indent=1) + "\n"


def parse(text: str) -> NodeConfig:
    """The configuration in a file's text. Raises ValueError naming the member that is wrong."""
    if len(text) > SIZE_MAX:
        raise ValueError(f"longer than {SIZE_MAX} characters")
    try:
        written = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(written, dict):
        raise ValueError("not a JSON object")
    if written.get("format") != FORMAT:
        raise ValueError(f"format is {written.get('format')!r}, this version reads {FORMAT!r}")
    config = NodeConfig(
        node=NodeSection(**_members(written, "node", _NODE)),
        mgmt_net=MgmtSection(**_members(written, "mgmt_net", _MGMT)),
        registry=RegistrySection(**_members(written, "registry", _REGISTRY)),
        testbed=TestbedSection(**_members(written, "testbed", _TESTBED)),
        agent=AgentSection(**_members(written, "agent", _AGENT)),
    )
    check(config)
    return config


def check(config: NodeConfig) -> None:
    """Raises ValueError naming the member whose value cannot be meant."""
    node, registry, agent = config.node, config.registry, config.agent
    _say("node.id", 1 <= node.id <= NODE_LAST, f"1 to {NODE_LAST}")
    for member, name in (("node.name", node.name), ("testbed.name", config.testbed.name)):
        _say(member, bool(name) and not _CONTROL.search(name), "one line of text")
    _say("node.arch", node.arch in set(Arch), f"one of {', '.join(Arch)}")
    good = DIRECT_INTERFACE_NAME.fullmatch(node.local_iface)
    _say("node.local_iface", bool(good), "a network interface, as eth0")
    good = _MAC_PREFIX.fullmatch(node.sliver_mac_prefix)
    _say("node.sliver_mac_prefix", bool(good), "16 bits, as 0x54c0")
    _say("node.priv_ipv4_prefix", _is_24(node.priv_ipv4_prefix), "a /24, as 192.168.241.0/24")
    _say("node.sliver_pub_ipv4", node.sliver_pub_ipv4 in _PUB_IPV4, " or ".join(_PUB_IPV4))
    _say("node.sliver_pub_ipv6", node.sliver_pub_ipv6 in _PUB_IPV6, " or ".join(_PUB_IPV6))
    _check_testbed(config)
    _say("registry.base_uri", _is_base(registry.base_uri), "http(s)://host[:port]/path/")
    _say("registry.link_base", _is_base(registry.link_base), "http(s)://host/path/")
    good_file = not registry.cert or bool(_FILE.fullmatch(registry.cert))
    _say("registry.cert", good_file, "the name of a file beside this one, or empty")
    _say("agent.poll_s", 0.1 <= agent.poll_s <= 86_400, "seconds, 0.1 to 86400")


def _check_testbed(config: NodeConfig) -> None:
    """The node's address must be the one that its id gives it, or two nodes would fight over it."""
    for member in ("mgmt_ipv6_prefix", "priv_ipv6_prefix", "debug_ipv6_prefix"):
        _say(f"testbed.{member}", _is_48(getattr(config.testbed, member)), "an IPv6 network, /48")
    prefix = IPv6Network(config.testbed.mgmt_ipv6_prefix).network_address
    wanted = prefix + (config.node.id << 64) + 2
    try:
        good = IPv6Address(config.mgmt_net.addr) == wanted
    except AddressValueError:
        good = False
    _say("mgmt_net.addr", good, f"{wanted}, node {config.node.id}'s")


_PUB_IPV4 = ("none", "dhcp", "range")
_PUB_IPV6 = ("none", "dhcp", "auto")
# every member: its type; those of AgentSection and some of others have defaults
_NODE: dict[str, type] = {
    "id": int,
    "name": str,
    "arch": str,
    "local_iface": str,
    "sliver_mac_prefix": str,
    "priv_ipv4_prefix": str,
    "sliver_pub_ipv4": str,
    "sliver_pub_ipv4_range": str,
    "sliver_pub_ipv6": str,
}
_MGMT: dict[str, type] = {"backend": MgmtBackend, "addr": str}
_REGISTRY: dict[str, type] = {"base_uri": str, "cert": str, "link_base": str}
_TESTBED: dict[str, type] = {
    "name": str,
    "mgmt_ipv6_prefix": str,
    "priv_ipv6_prefix": str,
    "debug_ipv6_prefix": str,
}
_AGENT: dict[str, type] = {"poll_s": float, "sync_node_admins": bool}
_OPTIONAL = frozenset({"agent.poll_s", "agent.sync_node_admins", "registry.link_base"})
_WORDS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    MgmtBackend: " or ".join(MgmtBackend),
}


def _members(written: Mapping[str, Any], section: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    found = written.get(section, {})
    if not isinstance(found, dict):
        raise ValueError(f"{section} is not a JSON object")
    taken = {}
    for name, kind in kinds.items():
        member = f"{section}.{name}"
        if name in found:
            taken[name] = _value(member, found[name], kind)
        elif member not in _OPTIONAL:
            raise ValueError(f"{member} is missing")
    return taken


def _value(member: str, value: Any, kind: type) -> Any:
    if kind is MgmtBackend:
        _say(member, isinstance(value, str) and value in set(MgmtBackend), _WORDS[kind])
        return MgmtBackend(value)
    allowed = (int, float) if kind is float else kind
    good = isinstance(value, allowed) and (kind is bool) is isinstance(value, bool)
    _say(member, good, _WORDS[kind])  # true is a number too, for Python
    return value


def _say(member: str, good: bool, wanted: str) -> None:
    if not good:
        raise ValueError(f"{member} must be {wanted}")


def _is_24(text: str) -> bool:
    try:
        return IPv4Network(text).prefixlen == 24
    except (AddressValueError, NetmaskValueError, ValueError):
        return False


def _is_48(text: str) -> bool:
    try:
        return IPv6Network(text).prefixlen == 48
    except (AddressValueError, NetmaskValueError, ValueError):
        return False


def _is_base(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text or not text.endswith("/"):
        return False
    try:
        url = urlsplit(text)
        port = url.port  # raises when it is none
    except ValueError:
        return False
    return bool(
        url.scheme in {"http", "https"}
        and url.hostname
        and (port is None or port > 0)
        and not (url.query or url.fragment or url.username)
    )
