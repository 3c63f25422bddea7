"""The controller's image: what its scripts write is what `vct.wire.tinc` would."""

from __future__ import annotations

import subprocess
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from vct import names
from vct.controller import config
from vct.drivers.controller_config import render_settings
from vct.plan.things import Controller
from vct.wire import tinc

IMAGE = Path("images/controller/etc/vct")
SCRIPTS = sorted(
    path for path in IMAGE.rglob("*") if path.is_file() and path.read_text().startswith("#!/bin/sh")
)


def test_it_works() -> None:
    """The connections are added by the service."""
    wanted = tinc.render_conf(tinc.Conf(name=tinc.SERVER, strict=True))
    assert sorted((IMAGE / "tinc/tinc.conf").read_text().split("\n")) == sorted(wanted.split("\n"))


@pytest.mark.parametrize(("name", "render"), [("up", tinc.render_up), ("down", tinc.render_down)])
def test_the_servers_scripts_are_those_of_every_host(name: str, render: object) -> None:
    address = IPv6Address("fd65::2")
    wanted = render(address)  # type: ignore[operator]
    script = (IMAGE / f"tinc/tinc-{name}").read_text()
    script = script.replace("read -r address </run/tinc/address\n", "")
    assert script.replace('"$address/48"', f"{tinc.uncompressed(address)}/48") == wanted


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(IMAGE)))
def test_scripts_are_well_formed_and_may_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    subprocess.run(["/bin/sh", "-n", script], check=True)


def test_the_server_is_told_where_others_reach_it() -> None:
    one = Controller(
        namespace="vct-ring-ctl",
        hostname="controller",
        image="",
        root="",
        arch="amd64",
        memory_mib=0,
        disk_mib=0,
        hosts=("localhost",),
        management="native",
    )
    told = config.parse(render_settings(one, "ring", "s" * config.SECRET_LENGTH), "file")
    assert (told.tls, told.mgmt_backend, told.agent_poll_s) == (True, "native", 10)
    assert told.tinc_address == str(names.CONTROLLER_IPV4)
