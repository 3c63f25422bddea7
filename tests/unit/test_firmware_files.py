"""Firmware as files: what differs is written, the configuration last; the boot that fits it."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from vct.drivers import firmware_files, guest, process
from vct.drivers.firmware_files import (
    AGENT_PROGRAM,
    TINC,
    choose_boot,
    discharge,
    has_agent,
    install,
    leave_mesh,
    reread_inittab,
    restart_services,
)
from vct.paths import Confine, Home, NodePaths, TestbedPaths

TEXTS = {
    "node.json": "{}",
    "api.crt.pem": "cert",
    "tinc/tinc-up": "#!/bin/sh\n",
    "tinc/hosts/server": "server",
    "tinc/hosts/node_1": "me",
}


@pytest.fixture
def node(tmp_path: Path) -> NodePaths:
    paths = Home(root=tmp_path).testbed("ring").node("0001")
    paths.confine.root.mkdir(parents=True)
    return paths


@pytest.fixture
def paths(tmp_path: Path) -> TestbedPaths:
    return Home(root=tmp_path).testbed("ring")


@pytest.fixture
def files(node: NodePaths) -> Confine:
    return node.confine


def test_it_works(files: Confine) -> None:
    assert install(files, TEXTS) == set(TEXTS)
    assert files.config.read_text() == "{}"
    assert (files.root / "tinc/tinc-up").stat().st_mode & 0o777 == 0o755
    assert (files.root / "tinc/hosts/server").stat().st_mode & 0o777 == 0o644
    assert install(files, TEXTS) == frozenset()


def test_only_what_differs_is_written(files: Confine) -> None:
    install(files, TEXTS)
    before = (files.root / "tinc/tinc-up").stat().st_ino
    assert install(files, {**TEXTS, "api.crt.pem": "new"}) == {"api.crt.pem"}
    assert (files.root / "tinc/tinc-up").stat().st_ino == before


def test_hosts_that_are_not_named_any_more_go(files: Confine) -> None:
    install(files, {**TEXTS, "tinc/hosts/node_3": "other"})
    assert install(files, TEXTS) == {"tinc/hosts/node_3"}
    assert sorted(path.name for path in (files.tinc / "hosts").iterdir()) == ["node_1", "server"]


def test_keys_are_not_touched(files: Confine) -> None:
    files.tinc.mkdir()
    for key in (files.tinc_key, files.tinc_public, files.api_key):
        key.write_text("key")
    install(files, TEXTS)
    assert files.tinc_key.read_text() == files.api_key.read_text() == "key"


def test_the_configuration_is_written_last(files: Confine, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(firmware_files, "write", lambda path, *_, **__: written.append(path.name))
    install(files, TEXTS)
    assert written[-1] == "node.json"
    assert len(written) == len(TEXTS)


def test_who_leaves_the_mesh_forgets_it_once(files: Confine) -> None:
    install(files, TEXTS)
    assert leave_mesh(files)
    assert not files.tinc.exists()
    assert not leave_mesh(files)


# --- boot ----------------------------------------------------------------------------------------


def image(place: Path, *boots: str) -> Path:
    root = place / "image"
    (root / "etc/vct").mkdir(parents=True)
    for boot in boots:
        (root / f"etc/vct/inittab.{boot}").touch()
    return root


def test_a_node_with_firmware_boots_with_the_agent(node: NodePaths, tmp_path: Path) -> None:
    root = image(tmp_path, "fast.agent")
    link = node.node_config / "inittab"
    assert choose_boot(node, "fast", root)
    assert str(link.readlink()) == "/etc/vct/inittab.fast"
    node.confine.config.touch()
    assert choose_boot(node, "fast", root)
    assert str(link.readlink()) == "/etc/vct/inittab.fast.agent"
    assert not choose_boot(node, "fast", root)


def test_an_image_without_the_agent_still_boots(node: NodePaths, tmp_path: Path) -> None:
    node.confine.config.touch()
    root = image(tmp_path, "fast.agent")
    assert choose_boot(node, "full", root)
    assert str((node.node_config / "inittab").readlink()) == "/etc/vct/inittab.full"
    assert not has_agent(root, "full")
    assert has_agent(tmp_path / "packed.squashfs", "full")


def test_a_node_that_is_nobodys_any_more_boots_without_the_agent(
    node: NodePaths, paths: TestbedPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(node.confine, TEXTS)
    choose_boot(node, "fast", image(tmp_path, "fast.agent"))
    woken: list[str] = []
    monkeypatch.setattr(firmware_files, "reread_inittab", lambda _paths, one: woken.append(one))
    discharge(paths, "0001", "fast")
    assert not node.confine.root.exists()
    assert str((node.node_config / "inittab").readlink()) == "/etc/vct/inittab.fast"
    assert woken == ["0001"]


# --- processes -----------------------------------------------------------------------------------


def test_a_node_that_does_not_run_is_not_woken(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "state_of", lambda *_: ("STOPPED", -1))
    assert not reread_inittab(paths, "0001")
    assert restart_services(paths, "0001", frozenset(["node.json"])) == []


def test_a_process_that_is_not_of_the_node_gets_no_signal(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "state_of", lambda *_: ("RUNNING", os.getpid()))
    monkeypatch.setattr(signal, "pidfd_send_signal", pytest.fail)
    assert not reread_inittab(paths, "0001")


def test_a_node_is_known_by_its_control_group() -> None:
    membership = "5:pids:/vct/ring/0001/init\n0::/\n"
    assert firmware_files._is_in(membership, "vct/ring/0001")
    assert not firmware_files._is_in(membership, "vct/ring/0002")
    assert not firmware_files._is_in(membership.replace("0001", "00012"), "vct/ring/0001")


@pytest.mark.parametrize(
    ("changed", "ended"),
    [
        ({"node.json"}, ["agent"]),
        ({"tinc/tinc.conf"}, ["sleep"]),
        ({"tinc"}, ["sleep"]),
        ({"tinc/hosts/node_3", "api.crt.pem"}, ["sleep", "agent"]),
        (set(), []),
    ],
)
def test_what_works_by_changed_files_is_ended(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch, changed: set[str], ended: list[str]
) -> None:
    monkeypatch.setattr(guest, "state_of", lambda *_: ("RUNNING", os.getpid()))
    monkeypatch.setattr(firmware_files, "TINC", re.compile("sleep 61"))
    monkeypatch.setattr(firmware_files, "AGENT_PROGRAM", re.compile("sleep.62"))
    agent = [sys.executable, "-c", "import time; time.sleep(62)"]
    running = {
        "sleep": process.start(["sleep", "61"]),
        "agent": process.start(agent),
        "other": process.start(["sleep", "63"]),
    }
    try:
        restart_services(paths, "0001", frozenset(changed))
        for name, one in running.items():
            if name in ended:
                assert one.wait(10) == -signal.SIGTERM
            else:
                assert one.poll() is None
    finally:
        for one in running.values():
            one.kill()
            one.wait()


def test_the_services_of_the_image_are_known_by_their_commands() -> None:
    services = Path(__file__).resolve().parents[2] / "images/node-debian/etc/vct"
    tinc = (services / "tinc-service").read_text()
    agent = (services / "agent-service").read_text()
    started = [line.split("exec ", 1)[1] for line in tinc.splitlines() if "exec tincd" in line]
    assert started
    waiting = "/bin/sh /etc/vct/tinc-service"
    assert all(TINC.search(command) for command in [*started, waiting])
    started = [line.split("exec ", 1)[1] for line in agent.splitlines() if "exec python" in line]
    assert started
    assert all(AGENT_PROGRAM.search(command) for command in started)
