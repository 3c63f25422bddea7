"""Nodes get their firmware from a controller: once, again when something differs, never for others.

The controller is a fake that answers as the real one does; nodes are directories.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from dataclasses import replace as but
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from vct import names
from vct.drivers import key_making
from vct.drivers.container_config import HEADER
from vct.drivers.controller_api import ControllerError
from vct.errors import RefusedError, VctError
from vct.model.load import parse_testbed
from vct.model.testbed import Testbed
from vct.paths import Confine, Home, TestbedPaths
from vct.verbs import enrolment
from vct.verbs.enrolment import Enrolled, Place, enrol
from vct.verbs.registration import Registry
from vct.wire import firmware, tinc
from vct.wire.tinc import Address, Conf, HostFile

TEXT = """\
name: ring
nodes: {"0001": {}, "0002": {arch: i386}, "0003": {}}
controller: {}
"""
BEHIND = """\
name: ring
nodes: {"0001": {gateway: "0003"}, "0002": {arch: i386}, "0003": {}}
controller: {}
management: {gateways: ["0003"]}
"""
KEYS = [key_making.tinc_key() for _ in range(4)]
MESH = "fd65:fc41:c50f"


def bed(text: str = TEXT) -> Testbed:
    return parse_testbed(text, "ring.yaml")


@dataclass
class FakeController:
    """A registry in memory; `refuses` is what it answers to the enrolment of a node."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuses: dict[int, int] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(
        default_factory=lambda: [{"uri": "/api/groups/1/", "name": "vct", "allow_nodes": True}]
    )

    def send(self, method: str, uri: str, document: Any = None) -> Any:
        number = int(uri.split("/")[3])
        row = self.rows[number]
        self.asked.append(f"{method} {number:04x}")
        if method == "PATCH":
            if document == {"tinc": None}:
                document = {"tinc": None, "set_state": "debug"}
            row.update(document)
            return row
        assert uri == f"/api/nodes/{number}/ctl/enrol/"
        if number in self.refuses:
            raise ControllerError("POST", "no", status=self.refuses[number])
        self._learn(row, document)
        return {"config": self._config(row), "files": self._files(row) | self.extra}

    def _learn(self, row: dict[str, Any], told: dict[str, Any]) -> None:
        row["mgmt_net"] = {"backend": told["mgmt_backend"]}
        row["api"] = {"base_uri": "https://", "cert": f"signed {told['api_csr']}"}
        row["gateway"] = told["gateway"]
        row["tinc"] = told["tinc_pubkey"] and {
            "name": f"node_{row['id']}",
            "pubkey": told["tinc_pubkey"],
            "addresses": told["tinc_addresses"],
        }
        if row["set_state"] == "debug":
            row["set_state"] = "safe"
        row["set_state"] = told.get("set_state", row["set_state"])

    def _config(self, row: dict[str, Any]) -> Any:
        address = str(names.management_ipv6(names.node_id(row["id"])))
        config = firmware.NodeConfig(
            node=firmware.NodeSection(id=row["id"], name=row["name"], arch=row["arch"]),
            mgmt_net=firmware.MgmtSection(backend=row["mgmt_net"]["backend"], addr=address),
            registry=firmware.RegistrySection(base_uri=f"https://[{MESH}::2]/api/"),
            testbed=firmware.TestbedSection(
                name="ring",
                mgmt_ipv6_prefix=f"{MESH}::/48",
                priv_ipv6_prefix="fdbd:e804:6aa9::/48",
                debug_ipv6_prefix="fd5f:eee5:e6ad::/48",
            ),
        )
        return json.loads(firmware.render(config))

    def _files(self, row: dict[str, Any]) -> dict[str, str]:
        files = {"api.crt.pem": row["api"]["cert"], "registry.crt.pem": "authority"}
        if not row["tinc"]:
            return files
        name = row["tinc"]["name"]
        peers = [one for one in self.rows.values() if one["tinc"]]
        wanted = {name, row["gateway"]} | {
            one["tinc"]["name"] for one in peers if one["gateway"] == name
        }
        hosts = {
            f"tinc/hosts/{one['tinc']['name']}": _host(one)
            for one in peers
            if one["tinc"]["name"] in wanted
        }
        connect = (row["gateway"],) if row["gateway"] else ()
        conf = {"tinc/tinc.conf": tinc.render_conf(Conf(name=name, connect_to=connect))}
        return (
            files | hosts | conf | {"tinc/tinc-up": "#!/bin/sh\n", "tinc/tinc-down": "#!/bin/sh\n"}
        )


def _host(row: dict[str, Any]) -> str:
    told = row["tinc"]
    reached = tuple(Address(addr=one["addr"], port=one["port"]) for one in told["addresses"])
    subnet = IPv6Network(f"{MESH}:{row['id']:x}::/64")
    return tinc.render_host(HostFile(pubkey=told["pubkey"], subnets=(subnet,), addresses=reached))


class World:
    """A testbed whose containers run, and its controller."""

    def __init__(self, root: Path, calls: list[str]) -> None:
        self.home, self.image, self.calls = Home(root=root), root / "image", calls
        self.controller = FakeController()
        (self.image / "etc/vct").mkdir(parents=True)
        for boot in ("fast", "full"):
            (self.image / f"etc/vct/inittab.{boot}.agent").touch()
        for node in bed().nodes:
            self.make(node.id, "i686" if node.arch == "i386" else "x86_64")

    @property
    def paths(self) -> TestbedPaths:
        return self.home.testbed("ring")

    def files(self, node: str) -> Confine:
        return self.paths.node(node).confine

    def make(self, node: str, arch: str = "x86_64") -> None:
        """A container that was just made, and a node that was just registered."""
        number = names.node_number(node)
        self.controller.rows[number] = {
            "id": number,
            "uri": f"/api/nodes/{number}/",
            "name": names.hostname(node),
            "arch": arch,
            "group": {"uri": "/api/groups/1/"},
            "set_state": "debug",
            "api": None,
            "tinc": None,
            "gateway": "",
            "mgmt_net": {"backend": "tinc"},
        }
        self.put_files(node, self.image)

    def put_files(self, node: str, image: Path) -> None:
        paths = self.paths.node(node)
        paths.node_config.mkdir(parents=True, exist_ok=True)
        fields = {"node": node, "namespace": "", "hostname": "", "image": "", "root": str(image)}
        paths.config.write_text(
            HEADER + json.dumps({**fields, "arch": "amd64", "memory_mib": 1}) + "\n"
        )

    def enrol(self, text: str = TEXT, renew: tuple[str, ...] = ()) -> Enrolled:
        testbed = bed(text)
        place = Place(
            home=self.home,
            paths=self.paths,
            testbed=testbed,
            api=self.controller,  # type: ignore[arg-type]
        )
        rows = [dict(row) for row in self.controller.rows.values()]
        registry = Registry(groups=self.controller.groups, nodes=rows, templates=[], links=[])
        self.controller.asked.clear()
        self.calls.clear()
        return enrol(place, registry, testbed.nodes, renew=renew)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    calls: list[str] = []
    made = iter(KEYS * 4)
    monkeypatch.setattr(key_making, "tinc_key", lambda: next(made))
    monkeypatch.setattr(enrolment, "reread_inittab", lambda _paths, node: calls.append(node))
    monkeypatch.setattr(
        enrolment,
        "restart_services",
        lambda _paths, node, changed: calls.append(f"{node}: {', '.join(sorted(changed))}"),
    )
    return World(tmp_path, calls)


def test_it_works(world: World) -> None:
    done = world.enrol()
    assert done.told == tuple(
        f"enrol node {node}: it has no firmware" for node in ("0001", "0002", "0003")
    )
    assert done.orders == dict.fromkeys(("0001", "0002", "0003"), "production")
    assert sorted(world.calls) == ["0001", "0002", "0003"]
    files = world.files("0002")
    config = firmware.parse(files.config.read_text())
    assert (config.node.id, config.node.arch) == (2, "i686")
    link = world.paths.node("0002").node_config / "inittab"
    assert str(link.readlink()) == "/etc/vct/inittab.fast.agent"
    assert (files.root / "tinc/tinc-up").stat().st_mode & 0o777 == 0o755
    assert not world.paths.node("0002").new.exists()


def test_a_second_time_there_is_nothing_to_do(world: World) -> None:
    world.enrol()
    done = world.enrol()
    assert (done.told, world.controller.asked, world.calls) == ((), [], [])
    assert done.orders == dict.fromkeys(("0001", "0002", "0003"), "production")


def test_private_keys_stay_in_the_nodes_own_files(world: World) -> None:
    sent: list[str] = []
    send = world.controller.send

    def recorded(method: str, uri: str, document: Any = None) -> Any:
        sent.append(json.dumps(document))
        return send(method, uri, document)

    world.controller.send = recorded  # type: ignore[method-assign]
    world.enrol()
    assert "PRIVATE" not in "".join(sent)
    assert world.files("0001").api_key.stat().st_mode & 0o777 == 0o600
    assert world.files("0001").tinc_key.stat().st_mode & 0o777 == 0o600


def test_what_people_ordered_stays(world: World) -> None:
    world.enrol()
    world.controller.rows[1]["set_state"] = "safe"
    world.controller.rows[2]["set_state"] = "failure"
    done = world.enrol(renew=("0001", "0002"))
    assert done.orders == {"0001": "safe", "0002": "failure", "0003": "production"}
    assert sorted(world.controller.asked) == ["POST 0001", "POST 0002"]


def test_a_node_of_a_group_that_may_have_none_stays_safe(world: World) -> None:
    world.controller.groups[0]["allow_nodes"] = False
    assert set(world.enrol().orders.values()) == {"safe"}


def test_new_keys_are_registered_and_restart_the_services(world: World) -> None:
    world.enrol()
    before = world.files("0001").tinc_key.read_text()
    done = world.enrol(renew=("0001",))
    assert done.told == ("enrol node 0001: new keys were asked for",)
    assert done.changed == {"0001"}
    assert world.files("0001").tinc_key.read_text() != before
    assert world.calls == ["0001: api.crt.pem, tinc, tinc/hosts/node_1"]
    assert world.enrol().told == ()


def test_an_interrupted_enrolment_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_files: Confine, _texts: dict[str, str]) -> frozenset[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(enrolment, "install", killed)
        with pytest.raises(KeyboardInterrupt):
            world.enrol()
    assert world.controller.rows[1]["set_state"] in ("safe", "production")
    assert world.paths.node("0001").new.exists()
    assert set(world.enrol().orders.values()) == {"production"}
    assert world.enrol().told == ()


# --- what differs --------------------------------------------------------------------------------


def damaged(world: World) -> None:
    world.files("0001").config.write_text("{")


def restored_from_an_old_copy(world: World) -> None:
    world.controller.rows[1]["tinc"]["pubkey"] = KEYS[3][1]


def other_certificate(world: World) -> None:
    world.controller.rows[1]["api"]["cert"] = "signed by another"


def reset_controller(world: World) -> None:
    world.controller.rows[1] |= {"api": None, "tinc": None, "set_state": "debug"}


def renamed(world: World) -> None:
    world.controller.rows[1]["name"] = "roof"


def lost_key(world: World) -> None:
    world.files("0001").tinc_key.unlink()


def moved(world: World) -> None:
    world.controller.rows[1]["tinc"]["addresses"] = []


def old(world: World) -> None:
    years = time.time() - 4 * 365 * 86_400
    os.utime(world.files("0001").api_cert, (years, years))


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (damaged, "its firmware is damaged: not JSON"),
        (restored_from_an_old_copy, "the controller has another tinc key of it"),
        (other_certificate, "the controller has another certificate of it"),
        (reset_controller, "the controller does not know its keys"),
        (renamed, "its firmware is out of date"),
        (lost_key, "its tinc key is gone"),
        (moved, "the controller has another address of it"),
        (old, "its certificate is old"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_differs_is_put_right_and_named(world: World, happened: Any, words: str) -> None:
    world.enrol()
    happened(world)
    (told,) = world.enrol().told
    assert words in told
    if happened is not old:  # that one gets another certificate, for a controller that is real
        assert world.enrol().told == ()
    assert world.controller.rows[1]["set_state"] == "production"


def test_a_running_tincd_is_restarted_when_the_files_below_it_were_restored(world: World) -> None:
    world.enrol()
    files = [path for path in world.files("0001").root.rglob("*") if path.is_file()]
    old = {path: path.read_text() for path in files}
    world.enrol(renew=("0001",))
    for path, text in old.items():
        path.write_text(text)
    world.enrol()
    assert world.calls == ["0001: api.crt.pem, tinc"]
    assert world.enrol().told == ()


def test_a_node_that_left_the_testbed_leaves_the_mesh_and_keeps_its_record(world: World) -> None:
    world.enrol()
    left = 'name: ring\nnodes: {"0001": {}, "0003": {}}\ncontroller: {}'
    done = world.enrol(left)
    assert done.told == ("take node 0002 out of the mesh: it left the testbed, its record stays",)
    assert world.controller.rows[2]["tinc"] is None
    assert world.enrol(left).told == ()
    assert "enrol node 0002" in world.enrol().told[0]


def test_somebody_elses_node_in_the_mesh_is_left_alone(world: World) -> None:
    world.enrol()
    world.make("0009")
    address = {"addr": "192.0.2.9", "port": 655}
    world.controller.rows[9]["tinc"] = {"name": "node_9", "pubkey": "", "addresses": [address]}
    assert world.enrol().told == ()


# --- native, gateways ----------------------------------------------------------------------------


def test_native_nodes_have_no_tinc_files(world: World) -> None:
    native = f"{TEXT}management: {{backend: native}}\n"
    world.enrol(native)
    assert not world.files("0001").tinc.exists()
    assert world.controller.rows[1]["tinc"] is None
    assert world.enrol(native).told == ()


def test_the_backend_can_be_changed_and_changed_back(world: World) -> None:
    world.enrol()
    native = f"{TEXT}management: {{backend: native}}\n"
    world.enrol(native)
    assert not world.files("0001").tinc.exists()
    assert "0001: api.crt.pem, node.json, tinc, tinc/hosts/node_1" in world.calls
    assert world.enrol(native).told == ()
    world.enrol()
    assert world.files("0001").tinc_key.exists()
    assert world.enrol().told == ()


def test_a_node_behind_a_gateway_is_enrolled_after_it_and_known_to_it(world: World) -> None:
    world.enrol(BEHIND)
    conf = tinc.parse_conf((world.files("0001").tinc / "tinc.conf").read_text())
    assert conf.connect_to == ("node_3",)
    assert world.files("0001").tinc_host("node_3").exists()
    assert world.files("0003").tinc_host("node_1").exists()
    assert world.controller.asked[-1] == "POST 0003"
    assert world.enrol(BEHIND).told == ()


def test_a_gateway_comes_and_goes(world: World) -> None:
    world.enrol()
    assert any("its gateway is 0003" in words for words in world.enrol(BEHIND).told)
    assert world.enrol(BEHIND).told == ()
    told = world.enrol().told
    assert any("it has no gateway any more" in words for words in told)
    assert not world.files("0003").tinc_host("node_1").exists()
    assert world.enrol().told == ()


# --- refusals ------------------------------------------------------------------------------------


def test_a_node_whose_image_has_no_agent_is_left_out(world: World) -> None:
    world.put_files("0002", world.home.root)
    done = world.enrol()
    assert list(done.left_out) == ["0002"]
    assert "vct build node-debian" in done.left_out["0002"]
    assert world.controller.asked.count("POST 0002") == 0


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [(404, "older version", "vct build controller"), (409, "refused", "--renew-keys")],
)
def test_what_the_controller_refuses_is_told_with_a_way_out(
    world: World, status: int, words: str, hint: str
) -> None:
    world.controller.refuses[2] = status
    with pytest.raises(RefusedError, match=words) as caught:
        world.enrol()
    assert "0002" in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/shadow",
        "tinc/hosts/../../x",
        "api.key.pem",
        "tinc/rsa_key.priv",
        "node.json/x",
    ],
)
def test_a_firmware_with_other_files_is_refused(world: World, name: str) -> None:
    world.controller.extra[name] = "x"
    with pytest.raises(VctError, match="has a file"):
        world.enrol()
    assert not world.files("0001").config.exists()


def test_the_firmware_of_another_node_is_refused(world: World) -> None:
    world.controller.rows[1]["id"] = 7
    row = world.controller.rows[1]
    answer = world.controller._config({**row, "mgmt_net": {"backend": "tinc"}})
    node = but(bed().nodes[0])
    with pytest.raises(VctError, match="is that of node 0007"):
        enrolment._texts(node, {"config": answer, "files": {}})
    with pytest.raises(VctError, match="damaged"):
        enrolment._texts(node, ["words"])
