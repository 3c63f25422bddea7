"""node.json: what is rendered is read again, and what cannot be meant is refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.wire import firmware
from vct.wire.firmware import (
    AgentSection,
    MgmtSection,
    NodeConfig,
    NodeSection,
    RegistrySection,
    TestbedSection,
)
from vct.wire.limits import NODE_LAST, Arch, MgmtBackend


def a_config(**node: Any) -> NodeConfig:
    number = node.get("id", 1)
    return NodeConfig(
        node=NodeSection(**{"id": 1, "name": "one", "arch": "x86_64", **node}),
        mgmt_net=MgmtSection(backend=MgmtBackend.TINC, addr=f"fd65:fc41:c50f:{number:x}::2"),
        registry=RegistrySection(base_uri="https://[fd65:fc41:c50f::2]/api/"),
        testbed=TestbedSection(
            name="ring",
            mgmt_ipv6_prefix="fd65:fc41:c50f::/48",
            priv_ipv6_prefix="fdbd:e804:6aa9::/48",
            debug_ipv6_prefix="fd5f:eee5:e6ad::/48",
        ),
        agent=AgentSection(poll_s=10),
    )


def with_member(path: str, value: Any) -> str:
    written = json.loads(firmware.render(a_config()))
    section, _, name = path.partition(".")
    if name:
        written[section][name] = value
    else:
        written[section] = value
    return json.dumps(written)


def test_it_works() -> None:
    assert firmware.parse(firmware.render(a_config())) == a_config()


@given(
    number=st.integers(1, NODE_LAST),
    name=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50),
    arch=st.sampled_from(list(Arch)),
)
def test_every_node_is_read_as_it_was_written(number: int, name: str, arch: Arch) -> None:
    config = a_config(id=number, name=name, arch=str(arch))
    assert firmware.parse(firmware.render(config)) == config


def test_it_says_its_format_first() -> None:
    assert firmware.render(a_config()).startswith('{\n "format": "vct node 1"')


def test_what_a_newer_controller_adds_is_ignored() -> None:
    text = with_member("node.colour", "blue")
    assert firmware.parse(text) == a_config()


def test_the_agents_section_has_defaults() -> None:
    written = json.loads(firmware.render(a_config()))
    del written["agent"]
    assert firmware.parse(json.dumps(written)).agent == AgentSection(
        poll_s=60, sync_node_admins=True
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", "vct node 2"),
        ("node", None),
        ("node", ["id"]),
        ("node.id", 0),
        ("node.id", NODE_LAST + 1),
        ("node.id", True),
        ("node.id", "1"),
        ("node.id", 1.0),
        ("node.name", ""),
        ("node.name", "two\nlines"),
        ("node.arch", "sparc"),
        ("node.local_iface", "eth0; reboot"),
        ("node.sliver_mac_prefix", "54c0"),
        ("node.priv_ipv4_prefix", "192.168.241.0/25"),
        ("node.priv_ipv4_prefix", "192.168.241.1/24"),
        ("node.sliver_pub_ipv4", "static"),
        ("node.sliver_pub_ipv6", "always"),
        ("mgmt_net.backend", "wireguard"),
        ("mgmt_net.backend", ["tinc"]),
        ("mgmt_net.addr", "fd65:fc41:c50f:2::2"),
        ("mgmt_net.addr", "all"),
        ("registry.base_uri", "https://[fd65:fc41:c50f::2]/api"),
        ("registry.base_uri", "ftp://registry/"),
        ("registry.base_uri", "https:///api/"),
        ("registry.base_uri", "https://[fd65/"),
        ("registry.base_uri", "https://registry:99999/"),
        ("registry.base_uri", "https://registry/\r\nX: y/"),
        ("registry.base_uri", "https://user:word@registry/"),
        ("registry.cert", "../../../shadow"),
        ("registry.cert", "/etc/passwd"),
        ("registry.cert", None),
        ("registry.link_base", ""),
        ("testbed.name", ""),
        ("testbed.mgmt_ipv6_prefix", "fd65:fc41:c50f::/64"),
        ("testbed.priv_ipv6_prefix", "10.0.0.0/8"),
        ("testbed.debug_ipv6_prefix", "fd5f:eee5:e6ad::1/48"),
        ("agent.poll_s", 0),
        ("agent.poll_s", -1),
        ("agent.poll_s", float("nan")),
        ("agent.poll_s", float("inf")),
        ("agent.poll_s", True),
        ("agent.sync_node_admins", 1),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(path: str, value: Any) -> None:
    with pytest.raises(ValueError, match=path):
        firmware.parse(with_member(path, value))


@pytest.mark.parametrize("path", ["node.id", "mgmt_net.addr", "registry.cert", "testbed.name"])
def test_what_is_missing_is_named(path: str) -> None:
    section, _, name = path.partition(".")
    written = json.loads(firmware.render(a_config()))
    del written[section][name]
    with pytest.raises(ValueError, match=f"{path} is missing"):
        firmware.parse(json.dumps(written))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"format": ',
        "\x00",
        firmware.render(a_config())[:200],
        "[" * 60_000,
        '{"format": "vct node 1", "node": ' + "9" * 10_000 + "}",
        " " * (firmware.SIZE_MAX + 1),
    ],
)
def test_garbage_and_half_files_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        firmware.parse(text)
