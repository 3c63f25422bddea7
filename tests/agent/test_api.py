"""The node's REST API: every path, its members, links, tags and forms."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.agent.a_node import ANode
from tests.agent.a_registry import ARegistry
from vct.agent.api import Api, Throttle

REL = "http://confine-project.eu/rel/"
# node-system.md, section 2
MEMBERS = {
    "/": "uri confine_params testbed_params testbed_resources",
    "/node/": "uri id name description properties cn island api arch addrs mgmt_net tinc "
    "direct_ifaces group boot_sn set_state state soft_version slivers resources message errors",
    "/slivers/": "uri id node slice state set_state",
    "/slivers/30/": "uri id node slice state set_state description properties instance_sn template "
    "data_uri data_sha256 mgmt_net interfaces resources nr errors",
    "/templates/": "uri id name description type node_archs is_active image_uri image_sha256",
    "/templates/3/": "uri id name description type node_archs is_active image_uri image_sha256",
}
PARTS = {
    ("/", "confine_params"): "debug_ipv6_prefix priv_ipv6_prefix",
    ("/", "testbed_params"): "mgmt_ipv6_prefix",
    ("/node/", "addrs"): "mgmt mgmt_host local_mac debug internal_ipv4 internal_ipv6 recovery_ipv4 "
    "recovery_ipv6 recovery_unique local_ipv4 local_ipv6",
    ("/node/", "api"): "type base_uri cert",
    ("/node/", "mgmt_net"): "addr backend",
    ("/node/", "resources"): "name unit max_req dflt_req avail",
    ("/node/", "slivers"): "uri id",
    ("/slivers/30/", "node"): "uri id",
    ("/slivers/30/", "slice"): "uri id",
    ("/slivers/30/", "template"): "uri id",
    ("/slivers/30/", "interfaces"): "nr name type parent_name vlan_tag mac_addr ipv4_addr "
    "ipv6_addr",
}
LINKS = {
    "/": "node/base node/node node/sliver-list node/template-list",
    "/node/": "node/base node/do-refresh node/source registry/base",
    "/slivers/": "node/base",
    "/slivers/30/": "node/base node/sliver-list node/source registry/base",
    "/templates/": "node/base",
    "/templates/3/": "node/base node/template-list node/source registry/base",
}


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Caller:
    """Calls the application as a server would."""

    def __init__(self, node: ANode) -> None:
        self.refreshes = 0
        self.throttle = Throttle(clock=lambda: 0.0)
        self.api = Api(node.published, self._refresh, self.throttle)

    def _refresh(self) -> None:
        self.refreshes += 1

    def __call__(
        self,
        path: str,
        method: str = "GET",
        scheme: str = "http",
        body: bytes = b"",
        **headers: str,
    ) -> Said:
        found: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            found.update(status=int(status[:3]), headers=dict(headers))

        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": f"/confine/api{path}",
            "wsgi.url_scheme": scheme,
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": "[fd65::7]",
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        content = b"".join(self.api(environ, start))
        return Said(content=content, **found)


@pytest.fixture
def call(node: ANode) -> Caller:
    node.cycle()
    return Caller(node)


def test_it_works(call: Caller) -> None:
    said = call("/node/")
    assert (said.status, said.body["state"]) == (200, "production")
    assert said.headers["Content-Length"] == str(len(said.content))


@pytest.mark.parametrize("path", MEMBERS)
def test_members_are_the_originals(path: str, call: Caller) -> None:
    body = call(path).body
    (one,) = body if isinstance(body, list) else [body]
    assert sorted(one) == sorted(MEMBERS[path].split())


@pytest.mark.parametrize(("path", "member"), PARTS)
def test_parts_of_members_are_the_originals(path: str, member: str, call: Caller) -> None:
    value = call(path).body[member]
    one = value[0] if isinstance(value, list) else value
    assert sorted(one) == sorted(PARTS[path, member].split())


@pytest.mark.parametrize("path", LINKS)
def test_links_are_the_originals(path: str, call: Caller) -> None:
    links = call(path).headers["Link"]
    rels = [one.partition('rel="')[2].rstrip('"').removeprefix(REL) for one in links.split(", ")]
    assert sorted(rels) == sorted(LINKS[path].split())


def test_the_nodes_addresses_are_those_that_the_caller_used(call: Caller) -> None:
    said = call("/node/", scheme="https")
    assert said.body["uri"] == "https://[fd65::7]/confine/api/node/"
    assert said.body["slivers"][0]["uri"] == "https://[fd65::7]/confine/api/slivers/30/"
    assert "<https://[fd65::7]/confine/api/node/ctl/refresh/>" in said.headers["Link"]


@pytest.mark.parametrize("host", ["", "evil\r\nX: y", "a b", "<script>", "[::1"])
def test_a_host_that_is_none_is_not_repeated(host: str, call: Caller) -> None:
    uri = call("/node/", host=host).body["uri"]
    assert uri == "http://[fd65:fc41:c50f:1::2]/confine/api/node/"


def test_words_of_people_are_left_alone(call: Caller, node: ANode, registry: ARegistry) -> None:
    words = f"see {node.published.tree.base}/node/"
    registry.documents["nodes/1/"]["description"] = words
    node.cycle()
    assert call("/node/").body["description"] == words


def test_the_registrys_uris_have_the_callers_scheme(call: Caller, node: ANode) -> None:
    tree = node.published.tree
    group = {"uri": "http://[fd65::2]/api/groups/2/"}
    body = {**node.said("/node/"), "group": group}
    documents = {"/node/": type(tree.documents["/node/"])(body)}
    node.published.replace(type(tree)(documents, tree.state, tree.base, "https://[fd65::2]/api/"))
    assert call("/node/", scheme="https").body["group"]["uri"].startswith("https:")
    assert call("/node/", scheme="http").body["group"]["uri"].startswith("http:")


# --- conditions and forms ------------------------------------------------------------------------


def test_a_tag_that_is_known_is_304(call: Caller) -> None:
    tag = call("/node/").headers["ETag"]
    said = call("/node/", if_none_match=tag)
    assert (said.status, said.content, said.headers["ETag"]) == (304, b"", tag)
    assert call("/node/", if_none_match='"other"').status == 200


def test_a_tag_changes_with_the_node_only(call: Caller, node: ANode, registry: ARegistry) -> None:
    before = call("/node/").headers
    node.cycle()
    assert call("/node/").headers == before
    registry.documents["nodes/1/"]["set_state"] = "safe"
    node.cycle()
    assert call("/node/").headers["ETag"] != before["ETag"]


def test_a_compressed_body_has_a_tag_of_its_own(call: Caller) -> None:
    plain, small = call("/node/"), call("/node/", accept_encoding="deflate, gzip")
    assert gzip.decompress(small.content) == plain.content
    assert small.headers["ETag"] != plain.headers["ETag"]
    assert call("/node/", if_none_match=small.headers["ETag"]).status == 304


def test_no_gzip_for_who_does_not_want_it(call: Caller) -> None:
    assert "Content-Encoding" not in call("/node/", accept_encoding="gzip;q=0").headers


@pytest.mark.parametrize("path", MEMBERS)
def test_head_is_get_without_its_body(path: str, call: Caller) -> None:
    get, head = call(path), call(path, "HEAD")
    assert (head.content, head.headers) == (b"", get.headers)


def test_a_page_for_people(call: Caller, node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"]["description"] = "<script>"
    node.cycle()
    said = call("/node/", accept="text/html,*/*")
    assert said.headers["Content-Type"].startswith("text/html")
    assert b"<script>" not in said.content


# --- where nothing is ----------------------------------------------------------------------------


def test_a_path_without_its_slash_is_led_there(call: Caller) -> None:
    said = call("/node")
    assert (said.status, said.headers["Location"]) == (303, "http://[fd65::7]/confine/api/node/")


def test_a_path_that_leads_elsewhere_brings_no_header(call: Caller) -> None:
    assert "\n" not in call("/a\r\nX: y").headers["Location"]


@pytest.mark.parametrize("path", ["/nothing/", "/slivers/31/", "/node/ctl/reboot/", "x/"])
def test_nothing_is_there(path: str, call: Caller) -> None:
    said = call(path)
    assert said.status == 404
    assert said.body["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_documents_are_only_read(method: str, call: Caller) -> None:
    said = call("/node/", method)
    assert (said.status, said.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("state", ["safe", "debug", "failure"])
@pytest.mark.parametrize("path", ["/slivers/", "/slivers/30/", "/templates/", "/templates/3/"])
def test_slivers_are_shown_in_production_only(
    path: str, state: str, call: Caller, node: ANode, registry: ARegistry
) -> None:
    registry.documents["nodes/1/"]["set_state"] = state
    node.cycle()
    said = call(path)
    assert said.status == 503
    assert said.headers["Retry-After"]


def test_a_sliver_says_its_state_all_the_same(
    call: Caller, node: ANode, registry: ARegistry
) -> None:
    registry.documents["nodes/1/"]["set_state"] = "safe"
    node.cycle()
    assert call("/slivers/30/").body["state"] == "registered"


def test_before_the_first_cycle_there_is_nothing(node: ANode) -> None:
    assert Caller(node)("/node/").status == 404


# --- refresh -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_refresh_begins_a_cycle(method: str, call: Caller) -> None:
    said = call("/node/ctl/refresh/", method, body=b"null")
    assert (said.status, call.refreshes) == (200, 1)
    assert said.body["detail"]


def test_refresh_is_not_for_other_methods(call: Caller) -> None:
    assert call("/node/ctl/refresh/", "DELETE").status == 405
    assert call.refreshes == 0


def test_who_asks_too_often_waits(call: Caller) -> None:
    answers = [call("/node/ctl/refresh/", "POST").status for _ in range(25)]
    assert answers.count(200) == call.refreshes == 20
    assert answers[-1] == 429
