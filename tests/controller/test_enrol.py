"""A registered node becomes one that can be reached: its keys are known, its firmware is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from tests.controller.caller import Caller, links
from tests.controller.factories import (
    Cast,
    a_group,
    a_node,
    a_pubkey,
    a_server,
    a_tinc_host,
    a_user,
    an_island,
)
from vct.controller import config
from vct.controller.audit.models import Entry
from vct.controller.mgmt.models import TincHost, mgmt_address
from vct.controller.nodes.models import Node, ServerApi
from vct.controller.pki.authority import make_authority
from vct.controller.pki.models import Certificate
from vct.wire import firmware, tinc
from vct.wire.relations import REL_BASE

pytestmark = pytest.mark.django_db
API_KEY = ec.generate_private_key(ec.SECP256R1())
SERVER_KEY, NODE_KEY, OTHER_KEY = 0, 1, 2


@pytest.fixture(autouse=True)
def ready(tmp_path: Path, settings: Settings) -> None:
    """A controller as `prepare` makes it, but for its server's name."""
    settings.CONFIG = config.generated(tmp_path, testbed="ring", agent_poll_s=10)
    pem = make_authority("fd65:fc41:c50f::2", "ring")
    server = a_server()
    server.apis.all().delete()
    base = "https://[fd65:fc41:c50f::2]/api/"
    ServerApi.objects.create(server=server, type="registry", base_uri=base, cert=pem)
    a_tinc_host(server, key=SERVER_KEY, address="10.241.255.250")


@pytest.fixture
def sue() -> Caller:
    return Caller(a_user("Sue", is_superuser=True))


def csr(node: Node, key: Any = API_KEY) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(mgmt_address(node)))])
    built = x509.CertificateSigningRequestBuilder().subject_name(name)
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def order(node: Node, **told: Any) -> dict[str, Any]:
    """What vct sends."""
    return {
        "tinc_pubkey": a_pubkey(NODE_KEY),
        "api_csr": csr(node),
        "tinc_addresses": [{"addr": f"10.241.0.{node.pk}", "port": 655}],
        "mgmt_backend": "tinc",
        **told,
    }


def enrol(caller: Caller, node: Node, **told: Any) -> Any:
    return caller.post(f"/api/nodes/{node.pk}/ctl/enrol/", order(node, **told))


def written() -> list[Any]:
    """Everything that enrolment may write, to see that it does not."""
    return [
        [list(rows.order_by("pk").values()) for rows in (Node.objects, TincHost.objects)],
        Certificate.objects.count(),
        Entry.objects.count(),
    ]


def test_it_works(sue: Caller) -> None:
    node = a_node(pk=1, name="roof")
    answer = enrol(sue, node)
    assert answer.status_code == 200, answer.json()
    given = answer.json()
    told = firmware.parse(json.dumps(given["config"]))
    assert (told.node.id, told.node.name, told.testbed.name) == (1, "roof", "ring")
    assert told.mgmt_net.addr == "fd65:fc41:c50f:1::2"
    assert told.registry.base_uri == "https://[fd65:fc41:c50f::2]/api/"
    assert told.agent.poll_s == 10
    assert set(given["files"]) == {
        "api.crt.pem",
        "registry.crt.pem",
        "tinc/tinc.conf",
        "tinc/tinc-up",
        "tinc/tinc-down",
        "tinc/hosts/node_1",
        "tinc/hosts/server",
    }
    shown = sue.get(f"/api/nodes/{node.pk}/").json()
    assert shown["set_state"] == "safe"
    assert shown["api"] == {
        "type": "node",
        "base_uri": "https://[fd65:fc41:c50f:1::2]/confine/api/",
        "cert": given["files"]["api.crt.pem"],
    }
    assert shown["tinc"]["pubkey"] == a_pubkey(NODE_KEY)
    assert shown["tinc"]["addresses"] == [{"addr": "10.241.0.1", "port": 655, "island": None}]


def test_a_node_leads_to_it(sue: Caller) -> None:
    found = links(sue.get(f"/api/nodes/{a_node(pk=7).pk}/"))
    assert found[f"{REL_BASE}controller/do-enrol"].endswith("/api/nodes/7/ctl/enrol/")


def test_what_tinc_reads_is_what_it_needs(sue: Caller) -> None:
    files = enrol(sue, a_node(pk=1)).json()["files"]
    assert tinc.parse_conf(files["tinc/tinc.conf"]) == tinc.Conf(name="node_1")
    server = tinc.parse_host(files["tinc/hosts/server"])
    assert server.pubkey == a_pubkey(SERVER_KEY)
    assert [str(one) for one in server.subnets] == ["fd65:fc41:c50f::2/128"]
    assert files["tinc/tinc-up"] == tinc.render_up(mgmt_address(Node(pk=1)))


def test_a_second_time_nothing_is_written(sue: Caller) -> None:
    node = a_node(pk=1)
    first = enrol(sue, node).json()
    before = written()
    assert enrol(sue, node).json() == first
    assert written() == before
    same = a_pubkey(NODE_KEY, PublicFormat.PKCS1)
    assert enrol(sue, node, tinc_pubkey=same).json() == first
    assert written() == before


def test_it_is_in_the_audit_log_without_keys(sue: Caller) -> None:
    enrol(sue, a_node(pk=1))
    entry = Entry.objects.get()
    assert (entry.action, entry.actor_name) == ("enrol", "Sue")
    assert entry.changes["tinc_addresses"] == ["10.241.0.1 655"]


def test_other_keys_take_the_place_of_the_first(sue: Caller) -> None:
    node = a_node(pk=1)
    first = enrol(sue, node).json()["files"]
    key = ec.generate_private_key(ec.SECP256R1())
    renewed = {"tinc_pubkey": a_pubkey(OTHER_KEY), "api_csr": csr(node, key)}
    second = enrol(sue, node, **renewed).json()["files"]
    assert second["api.crt.pem"] != first["api.crt.pem"]
    assert second["tinc/hosts/node_1"] != first["tinc/hosts/node_1"]
    assert TincHost.objects.get(node=node).pubkey == a_pubkey(OTHER_KEY)
    assert Node.objects.get().set_state == "safe"


def test_a_node_in_production_stays_there_with_other_keys(sue: Caller) -> None:
    node = a_node(pk=1)
    enrol(sue, node)
    sue.patch(f"/api/nodes/{node.pk}/", {"set_state": "production"})
    enrol(sue, node, tinc_pubkey=a_pubkey(OTHER_KEY))
    assert Node.objects.get().set_state == "production"


def test_with_its_keys_known_it_goes_where_it_is_told_to(sue: Caller) -> None:
    node = a_node(a_group(allow_nodes=True), pk=1)
    assert enrol(sue, node, set_state="production").status_code == 200
    assert Node.objects.get().set_state == "production"
    assert Entry.objects.get().changes["set_state"] == "production"
    before = written()
    enrol(sue, node, set_state="production")
    assert written() == before


def test_where_it_may_not_go_it_is_not_enrolled(sue: Caller) -> None:
    node = a_node(a_group(allow_nodes=False), pk=1)
    before = written()
    answer = enrol(sue, node, set_state="production")
    assert answer.status_code == 400
    assert "production" in answer.json()["set_state"][0]
    assert written() == before


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_two_nodes_with_one_key_are_refused(sue: Caller, form: PublicFormat) -> None:
    enrol(sue, a_node(pk=1))
    other = a_node(pk=2)
    answer = enrol(sue, other, tinc_pubkey=a_pubkey(NODE_KEY, form))
    assert answer.status_code == 409
    assert "node_1" in answer.json()["detail"]
    assert "--renew-keys" in answer.json()["detail"]
    other.refresh_from_db()
    assert (other.set_state, other.api_cert) == ("debug", "")


def test_the_servers_key_is_not_a_nodes(sue: Caller) -> None:
    answer = enrol(sue, a_node(pk=1), tinc_pubkey=a_pubkey(SERVER_KEY))
    assert answer.status_code == 409


def weak_pubkey(*_: object) -> str:
    key = rsa.generate_private_key(65537, 1024).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def ec_pubkey(*_: object) -> str:
    encoded = API_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("tinc_pubkey", None),
        ("tinc_pubkey", "garbage"),
        ("tinc_pubkey", 1),
        ("tinc_pubkey", weak_pubkey),
        ("tinc_pubkey", ec_pubkey),
        ("tinc_pubkey", lambda _node: a_pubkey(NODE_KEY) + "Subnet = ::/0\n"),
        ("tinc_pubkey", lambda _node: "Address = 1.2.3.4\n" + a_pubkey(NODE_KEY)),
        ("api_csr", "garbage"),
        ("api_csr", None),
        ("api_csr", lambda node: csr(Node(pk=node.pk + 1))),
        ("api_csr", lambda node: csr(node, rsa.generate_private_key(65537, 1024))),
        ("tinc_addresses", [{"addr": "10.0.0.1\nSubnet = ::/0"}]),
        ("tinc_addresses", [{"addr": "a b"}]),
        ("tinc_addresses", [{"addr": "-x"}]),
        ("tinc_addresses", [{"addr": "10.0.0.1", "port": 0}]),
        ("tinc_addresses", [{"port": 655}]),
        ("tinc_addresses", "10.0.0.1"),
        ("tinc_addresses", [{"addr": f"10.0.0.{n}"} for n in range(17)]),
        ("mgmt_backend", "wireguard"),
        ("mgmt_backend", "native"),  # with a key for tinc
        ("gateway", "node_9"),
        ("gateway", "node_1"),  # itself
        ("gateway", "../server"),
        ("set_state", "debug"),  # only nodes without keys are
        ("set_state", "asleep"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_kept(
    sue: Caller, member: str, value: Any
) -> None:
    node = a_node(pk=1)
    before = written()
    told = value(node) if callable(value) else value
    answer = enrol(sue, node, **{member: told})
    assert answer.status_code == 400
    expected = "tinc_pubkey" if (member, value) == ("mgmt_backend", "native") else member
    assert list(answer.json()) == [expected]
    assert written() == before


def test_native_nodes_have_no_tinc(sue: Caller) -> None:
    node = a_node(pk=1)
    answer = enrol(sue, node, mgmt_backend="native", tinc_pubkey=None, tinc_addresses=[])
    assert answer.status_code == 200
    assert answer.json()["config"]["mgmt_net"]["backend"] == "native"
    assert set(answer.json()["files"]) == {"api.crt.pem", "registry.crt.pem"}
    assert Node.objects.get().set_state == "safe"


def test_a_node_moves_from_one_backend_to_the_other_and_back(sue: Caller) -> None:
    node = a_node(pk=1)
    enrol(sue, node)
    enrol(sue, node, mgmt_backend="native", tinc_pubkey=None, tinc_addresses=[])
    assert not TincHost.objects.filter(node=node).exists()
    assert enrol(sue, node).status_code == 200
    assert Node.objects.get().set_state == "safe"


def test_addresses_are_those_that_were_said_last_and_keep_their_island(sue: Caller) -> None:
    node, island = a_node(pk=1), an_island()
    two = [{"addr": "10.241.0.1"}, {"addr": "node.example", "port": 6550}]
    enrol(sue, node, tinc_addresses=two)
    kept = TincHost.objects.get(node=node).addresses.get(port=655)
    kept.island = island
    kept.save()
    enrol(sue, node, tinc_addresses=two[:1])
    (left,) = TincHost.objects.get(node=node).addresses.all()
    assert (left.pk, left.island) == (kept.pk, island)


def test_a_gateway_and_its_node_know_each_other(sue: Caller) -> None:
    gateway, node = a_node(pk=3), a_node(pk=5)
    assert enrol(sue, gateway).status_code == 200
    told = {"tinc_pubkey": a_pubkey(OTHER_KEY), "gateway": "node_3"}
    files = enrol(sue, node, **told).json()["files"]
    assert tinc.parse_conf(files["tinc/tinc.conf"]).connect_to == ("node_3",)
    assert tinc.parse_host(files["tinc/hosts/node_3"]).addresses[0].addr == "10.241.0.3"
    again = enrol(sue, gateway).json()["files"]
    assert {"tinc/hosts/node_5", "tinc/hosts/server"} <= set(again)
    before = written()
    told.pop("gateway")
    assert enrol(sue, node, **told).json()["files"] == files
    assert written() == before
    back = enrol(sue, node, **told, gateway="").json()["files"]
    assert tinc.parse_conf(back["tinc/tinc.conf"]).connect_to == ()


def test_a_node_without_an_address_connects_to_the_server(sue: Caller) -> None:
    files = enrol(sue, a_node(pk=1), tinc_addresses=[]).json()["files"]
    assert tinc.parse_conf(files["tinc/tinc.conf"]).connect_to == ("server",)


def test_a_registry_without_tls_needs_no_certificate(sue: Caller) -> None:
    ServerApi.objects.update(base_uri="http://[fd65:fc41:c50f::2]/api/", cert="")
    told = enrol(sue, a_node(pk=1)).json()["config"]["registry"]
    assert (told["base_uri"], told["cert"]) == ("http://[fd65:fc41:c50f::2]/api/", "")


def test_a_node_asks_the_registry_of_its_island(sue: Caller) -> None:
    island = an_island()
    api = ServerApi.objects.get()
    near = "http://[fd65:fc41:c50f::3]/api/"
    ServerApi.objects.create(server=a_server(), type="registry", base_uri=near, island=island)
    assert enrol(sue, a_node(pk=1, island=island)).json()["config"]["registry"]["base_uri"] == near
    far = enrol(sue, a_node(pk=2), tinc_pubkey=a_pubkey(OTHER_KEY)).json()
    assert far["config"]["registry"]["base_uri"] == api.base_uri


@pytest.mark.parametrize("lacking", ["registry", "tinc"])
def test_a_testbed_that_is_not_ready_for_nodes_says_what_is_missing(
    sue: Caller, lacking: str
) -> None:
    if lacking == "tinc":
        TincHost.objects.get().delete()
    else:
        ServerApi.objects.all().delete()
    before = written()
    answer = enrol(sue, a_node(pk=1))
    assert answer.status_code == 409
    assert lacking in answer.json()["detail"]
    assert written()[1:] == before[1:]


def test_who_may_build_firmware_may_enrol_and_the_node_itself_may_not() -> None:
    cast = Cast()
    node = a_node(cast.group, pk=1)
    allowed = {
        name
        for name, user in cast.everybody.items()
        if enrol(Caller(user), node).status_code == 200
    }
    assert allowed == {"superuser", "group admin", "node admin"}
    itself = Caller(REMOTE_ADDR=str(mgmt_address(node)))
    assert enrol(itself, node).status_code == 403


def test_there_must_be_a_node(sue: Caller) -> None:
    ghost = Node(pk=99)
    assert enrol(sue, ghost).status_code == 404
