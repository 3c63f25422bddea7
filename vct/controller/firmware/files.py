"""A node's firmware: what it must be told to belong to this testbed, rendered from the registry.

One readable file and those beside it, as `vct.wire.firmware` names them; no private key is among
them. Enrolment answers with it, the builder packs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv6Network

from django.conf import settings

from vct.controller.mgmt import mesh, writer
from vct.controller.mgmt.models import mgmt_address, plan
from vct.controller.nodes.models import MAIN_SERVER, ApiType, Node, ServerApi
from vct.controller.pki.authority import authority_certificate
from vct.controller.problems import ControllerError
from vct.wire import firmware, tinc
from vct.wire.firmware import (
    AgentSection,
    MgmtSection,
    NodeConfig,
    NodeSection,
    RegistrySection,
    TestbedSection,
)
from vct.wire.limits import MgmtBackend

PREFIX_LENGTH = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """`files` are texts by their names below the node's directory; `config` is node.json."""

    config: NodeConfig
    files: dict[str, str]

    @property
    def text(self) -> str:
        return firmware.render(self.config)

    @property
    def as_json(self) -> dict[str, object]:
        """What enrolment answers."""
        return {"config": json.loads(self.text), "files": self.files}


def firmware_of(
    node: Node,
    *,
    sync_node_admins: bool = True,
    registry_base_uri: str = "",
    registry_cert: str = "",
) -> Firmware:
    """Of a stored node that has a certificate and, with tinc, a key.

    `registry_*` are said instead of what the servers' rows say. Raises ControllerError when the
    testbed is not ready for nodes, ValueError for a URI that is none.
    """
    registry = (
        ServerApi(base_uri=registry_base_uri, cert=registry_cert)
        if registry_base_uri
        else _registry(node)
    )
    config = NodeConfig(
        node=_node(node),
        mgmt_net=MgmtSection(backend=MgmtBackend(node.mgmt_backend), addr=str(mgmt_address(node))),
        registry=RegistrySection(
            base_uri=registry.base_uri,
            cert=firmware.REGISTRY_CERT if registry.base_uri.startswith("https:") else "",
        ),
        testbed=_testbed(),
        agent=AgentSection(poll_s=settings.CONFIG.agent_poll_s, sync_node_admins=sync_node_admins),
    )
    firmware.check(config)
    files = {
        firmware.API_CERT: node.api_cert,
        firmware.REGISTRY_CERT: registry.cert or authority_certificate(),
    }
    if node.mgmt_backend == MgmtBackend.TINC:
        files |= _tinc_files(node)
    return Firmware(config=config, files=files)


def _node(node: Node) -> NodeSection:
    """What was left empty has CONFINE's value."""
    told = {
        "sliver_mac_prefix": node.sliver_mac_prefix,
        "priv_ipv4_prefix": node.priv_ipv4_prefix,
    }
    return NodeSection(
        id=node.pk,
        name=node.name,
        arch=node.arch,
        local_iface=node.local_iface,
        sliver_pub_ipv4=node.sliver_pub_ipv4,
        sliver_pub_ipv4_range=node.sliver_pub_ipv4_range,
        sliver_pub_ipv6=node.sliver_pub_ipv6,
        **{name: value for name, value in told.items() if value},
    )


def _testbed() -> TestbedSection:
    addresses = plan()
    mgmt, private, debug = (
        str(IPv6Network((prefix, PREFIX_LENGTH)))
        for prefix in (addresses.mgmt, addresses.private, addresses.debug)
    )
    return TestbedSection(
        name=settings.CONFIG.testbed,
        mgmt_ipv6_prefix=mgmt,
        priv_ipv6_prefix=private,
        debug_ipv6_prefix=debug,
    )


def _registry(node: Node) -> ServerApi:
    """That of the node's island, else the main server's, else any that serves all islands."""
    apis = list(ServerApi.objects.filter(type=ApiType.REGISTRY).order_by("server_id", "id"))
    near = [api for api in apis if api.island_id and api.island_id == node.island_id]
    main = [api for api in apis if api.island_id is None and api.server_id == MAIN_SERVER]
    for api in (*near, *main, *(api for api in apis if api.island_id is None)):
        return api
    raise ControllerError(
        "no server has a registry API that this node could ask",
        hint="add one to the server's page",
    )


def _tinc_files(node: Node) -> dict[str, str]:
    members = writer.load()
    name = tinc.host_name("node", node.pk)
    own = members.get(name)
    if own is None:
        raise ControllerError(
            f"node {node.hex_id} has no tinc key", hint="enrol it: vct node create"
        )
    if tinc.SERVER not in members:
        raise ControllerError(
            "the server is not in the tinc mesh: it has no key",
            hint="restart the controller, or use the native backend",
        )
    gateway = mesh.gateway_of(own, members)
    conf = tinc.Conf(name=name, connect_to=(gateway,) if gateway else ())
    hosts = {peer: members[peer] for peer in mesh.peers_of(own, members)} | {name: own}
    return {
        firmware.TINC_CONF: tinc.render_conf(conf),
        firmware.TINC_UP: tinc.render_up(mgmt_address(node)),
        firmware.TINC_DOWN: tinc.render_down(mgmt_address(node)),
        **{
            f"{firmware.TINC_HOSTS}/{peer}": mesh.host_file(member)
            for peer, member in sorted(hosts.items())
        },
    }
