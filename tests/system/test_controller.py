"""A testbed's controller, for real: it comes up, knows its nodes, keeps its data, leaves no trace.

One testbed serves all of the module; each test leaves its controller ready.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import IMAGES, VCT, Bed, new_bed
from vct.drivers import process
from vct.drivers.controller_api import Api, ControllerError, health

TESTBED = """\
nodes: {"0001": {}, "0002": {position: [41.389, 2.112]}}
links: [{between: ["0001", "0002"], rate: 50mbit}]
controller: {}
"""
IDLE_MIB = 114  # 120 MB
ANSWERS_WITHIN_S = 60.0  # on a busy machine


@pytest.fixture(scope="module")
def first(node_image: Path) -> Iterator[tuple[Bed, Any]]:
    """A testbed with a controller, and what its first init said."""
    process.run([*VCT, "build", "controller"], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1200)
    with new_bed() as bed:
        yield bed, bed.init(f"name: {bed.name}\n{TESTBED}")


@pytest.fixture
def bed(first: tuple[Bed, Any]) -> Bed:
    return first[0]


def again(bed: Bed, text: str = TESTBED) -> Any:
    return bed.init(f"name: {bed.name}\n{text}")


def url(bed: Bed) -> str:
    return str(bed.json("controller", "status")["url"])


def api(bed: Bed) -> Api:
    """With the first administrator's token."""
    kept = bed.home / "testbeds" / bed.name / "controller" / "credentials.json"
    return Api(base=url(bed), token=json.loads(kept.read_text())["token"])


def inside(bed: Bed, script: str, *, check: bool = True) -> str:
    """What a shell script in the controller says."""
    argv = ("controller", "shell", "--", "sh", "-c", script)
    return str(bed.vct(*argv, check=check).stdout)


def test_it_works(first: tuple[Bed, Any]) -> None:
    bed, said = first
    told = said["controller"]
    assert told["registered"][:3] == ["add group vct", "add node 0001", "add node 0002"]
    assert told["username"] == "vct"
    assert len(told["password"]) >= 12
    assert health(told["url"], ANSWERS_WITHIN_S) == ""
    assert bed.json("status")["controller"]["state"] == "ready"
    assert bed.json("status")["ready"]


def test_a_second_init_has_nothing_to_do_or_to_tell(bed: Bed) -> None:
    said = again(bed)
    assert not said["changed"]
    assert said["controller"]["registered"] == []
    assert "password" not in said["controller"]
    assert "nothing to do" in bed.vct("init").stdout


def test_it_knows_the_testbeds_nodes_and_links(bed: Bed) -> None:
    nodes = {node["id"]: node for node in api(bed).get("/api/nodes/")}
    assert sorted(nodes) == [1, 2]
    assert nodes[1]["direct_ifaces"] == ["eth1"]
    assert nodes[2]["properties"] == {"latitude": "41.389", "longitude": "2.112"}
    (link,) = api(bed).get("/map/network.json")["links"]
    assert {link["source"], link["target"]} == {"0001", "0002"}


def test_its_password_opens_it_and_is_kept_for_root_only(first: tuple[Bed, Any]) -> None:
    bed, said = first
    kept = Path(said["controller"]["credentials"])
    assert kept.stat().st_mode & 0o777 == 0o600
    known = json.loads(kept.read_text())
    assert known["password"] == said["controller"]["password"]
    body = {"username": known["username"], "password": known["password"]}
    assert len(Api(base=url(bed)).send("POST", "/api-token-auth/", body)["token"]) == 40
    settings = kept.parent / "settings" / "controller.json"
    assert settings.stat().st_mode & 0o777 == 0o600
    assert known["password"] not in (kept.parents[1] / "journal.jsonl").read_text()


def test_nodes_reach_it_by_name_and_address(bed: Bed) -> None:
    for host in ("controller", "controller.vct", "10.241.255.250"):
        got = bed.sh("0001", f"curl --silent --fail http://{host}/api/").stdout
        assert json.loads(got)["uri"] == f"http://{host}/api/"


def test_who_calls_it_by_another_name_is_refused(bed: Bed) -> None:
    connection = http.client.HTTPConnection(urlsplit(url(bed)).hostname or "", timeout=10)
    connection.request("GET", "/api/", headers={"Host": "evil.example.org"})
    assert connection.getresponse().status == 400
    connection.close()


def test_idle_it_takes_little_memory(bed: Bed) -> None:
    asked = "cat /proc/[0-9]*/smaps_rollup | awk '/^Pss_Anon:/ {sum += $2} END {print sum}'"
    assert int(inside(bed, asked)) / 1024 < IDLE_MIB


def test_demo_shows_where_it_is_and_asks_its_api(bed: Bed) -> None:
    base = bed.json("demo")["controller"]
    assert base["base"] == f"{url(bed)}api/"
    assert base["relations"] >= 10
    assert url(bed) in bed.vct("demo").stdout


def test_users_and_tokens_are_made_from_outside(bed: Bed) -> None:
    made = bed.json("controller", "user", "add", "alice")
    body = {"username": "alice", "password": made["password"]}
    assert Api(base=url(bed)).send("POST", "/api-token-auth/", body)["token"]
    changed = bed.json("controller", "user", "password", "alice")
    assert changed["password"] != made["password"]
    assert "alice" in bed.vct("controller", "user", "list").stdout
    refused = bed.vct("controller", "token", "nobody", check=False)
    assert refused.code == 1
    assert "there is no user nobody" in refused.stderr


def test_its_log_and_a_shell_in_it(bed: Bed) -> None:
    assert "Listening at" in bed.vct("controller", "log", "-n", "200").stdout
    assert inside(bed, "hostname") == "controller\n"
    assert bed.vct("controller", "shell", "--", "false", check=False).code == 1


# --- bad luck ------------------------------------------------------------------------------------


def test_a_killed_service_is_started_again(bed: Bed) -> None:
    before = inside(bed, "cat /run/vct-controller/pid")
    inside(bed, "/etc/vct/controller-service restart")
    again(bed)
    assert inside(bed, "cat /run/vct-controller/pid") != before


def test_a_lost_container_comes_back_with_its_data(bed: Bed) -> None:
    bed.json("controller", "user", "add", "bob")
    pid = inside(bed, "cat /proc/self/status | head -1; cat /proc/1/comm", check=False)
    assert "init" in pid
    os.kill(init_pid(bed), signal.SIGKILL)
    wait_stopped(bed)
    assert bed.json("controller", "status")["state"] == "stopped"
    refused = bed.vct("controller", "token", check=False)
    assert (refused.code, "not running" in refused.stderr) == (4, True)
    assert again(bed)["change"] == 1
    assert "bob" in bed.vct("controller", "user", "list").stdout


def init_pid(bed: Bed) -> int:
    """The controller's first process, as the host numbers it."""
    where = [f"--lxcpath={bed.home}/testbeds/{bed.name}", "--name=controller"]
    return int(process.run(["lxc-info", *where, "--pid", "--no-humanize"]).stdout)


def wait_stopped(bed: Bed) -> None:
    where = [f"--lxcpath={bed.home}/testbeds/{bed.name}", "--name=controller"]
    process.run(["lxc-wait", *where, "--state=STOPPED", "--timeout=20"])


def test_a_backup_brings_back_what_was_deleted(bed: Bed, tmp_path: Path) -> None:
    bed.json("controller", "user", "add", "carol")
    file = tmp_path / "mine.tar"
    assert bed.json("controller", "backup", str(file))["octets"] == file.stat().st_size
    node = api(bed).get("/api/nodes/")[0]
    api(bed).send("DELETE", node["uri"])
    bed.json("controller", "user", "add", "dave")
    refused = bed.vct("controller", "restore", str(file), check=False)
    assert (refused.code, "--yes" in refused.stderr) == (4, True)
    bed.vct("--yes", "controller", "restore", str(file))
    users = bed.vct("controller", "user", "list").stdout
    assert "carol" in users
    assert "dave" not in users
    assert len(api(bed).get("/api/nodes/")) == 2
    assert again(bed)["controller"]["registered"] == []


def test_a_wrong_file_restores_nothing(bed: Bed, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tar"
    wrong.write_bytes(b"words" * 10_000)
    refused = bed.vct("--yes", "controller", "restore", str(wrong), check=False)
    assert (refused.code, "no backup" in refused.stderr) == (2, True)
    assert len(api(bed).get("/api/nodes/")) == 2


def test_a_backup_to_a_full_disk_leaves_no_file(bed: Bed, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {small}; "
        f'"$@"; code=$?; ls -A {small} | wc -l; exit $code'
    )
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh"]
    done = process.run(
        [*argv, *VCT, "controller", "backup", f"{small}/mine.tar"],
        env=bed.environment,
        check=False,
    )
    assert (done.code, done.stdout.split()[-1]) == (1, "0")
    assert "room" in done.stderr


def test_a_full_controller_says_so_and_goes_on(bed: Bed, tmp_path: Path) -> None:
    file = tmp_path / "mine.tar"
    bed.json("controller", "backup", str(file))
    inside(bed, "cat /dev/zero >/var/lib/vct-controller/fill 2>/dev/null; :")
    assert bed.json("controller", "status")["disk_free_mib"] <= 1
    refused = bed.vct("--yes", "controller", "restore", str(file), check=False)
    assert (refused.code, "disk is full" in refused.stderr) == (1, True)
    assert len(api(bed).get("/api/nodes/")) == 2
    inside(bed, "rm /var/lib/vct-controller/fill")
    assert again(bed)["controller"]["registered"] == []


# --- two, and the end ----------------------------------------------------------------------------


def test_two_testbeds_with_a_controller_each_do_not_meet(bed: Bed) -> None:
    other = f"{bed.name}b"
    bed.others.append(other)
    text = f"name: {other}\nnodes: {{'0001': {{}}}}\ncontroller: {{}}\n"
    said = bed.json("--testbed", other, "init", str(bed.file(text)))
    second = said["controller"]["url"]
    assert second != url(bed)
    token = bed.json("--testbed", other, "controller", "token")["token"]
    assert len(Api(base=second, token=token).get("/api/nodes/")) == 1
    assert len(api(bed).get("/api/nodes/")) == 2
    with pytest.raises(ControllerError, match="403"):
        Api(base=url(bed), token=token).get("/api/nodes/")
    bed.vct("--testbed", other, "cleanup", "--flush")
    assert health(second) != ""
    assert health(url(bed), ANSWERS_WITHIN_S) == ""


def test_its_data_outlives_cleanup_and_reset_deletes_it(bed: Bed) -> None:
    bed.json("controller", "user", "add", "erin")
    bed.vct("cleanup")
    assert again(bed)["controller"]["registered"] == []
    assert "erin" in bed.vct("controller", "user", "list").stdout
    bed.vct("--yes", "controller", "reset")
    assert bed.json("controller", "status")["state"] == "absent"
    said = again(bed)["controller"]
    assert said["password"]
    assert "add node 0002" in said["registered"]


def test_a_testbed_that_wants_none_any_more_has_none(bed: Bed) -> None:
    assert again(bed, TESTBED.replace("controller: {}\n", ""))["delete"] >= 2
    assert bed.json("status")["controller"] is None
    refused = bed.vct("controller", "log", check=False)
    assert (refused.code, "has no controller" in refused.stderr) == (4, True)
    place = bed.home / "testbeds" / bed.name / "controller"
    assert not place.exists()
