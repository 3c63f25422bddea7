"""The tinc mesh: who connects to whom, and the files that the server's tincd gets."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from tests.controller.factories import (
    a_host,
    a_node,
    a_pubkey,
    a_server,
    a_tinc_host,
    a_user,
    an_island,
)
from vct.controller import config
from vct.controller.mgmt import mesh, writer
from vct.controller.mgmt.mesh import Member
from vct.controller.mgmt.models import TincAddress, TincHost
from vct.errors import InputError
from vct.wire import tinc
from vct.wire.tinc import SERVER, Address

PATIENCE_S = 20.0
Commits = Callable[..., AbstractContextManager[object]]


def member(name: str, *, at: str = "", serves: int | None = None, **told: object) -> Member:
    number = sum(name.encode())
    addresses = ((Address(addr=at), serves),) if at else ()
    subnet = IPv6Network(f"fd65:fc41:c50f:{number:x}::/64")
    return Member(name=name, pubkey="", subnet=subnet, addresses=addresses, **told)  # type: ignore[arg-type]


def members(*several: Member) -> dict[str, Member]:
    everybody = (member(SERVER, at="10.241.255.250"), *several)
    return {one.name: one for one in everybody}


# --- who connects to whom ------------------------------------------------------------------------


def test_it_works() -> None:
    known = members(member("node_1", at="10.241.0.1"), member("node_2"))
    assert mesh.server_connects_to(known) == ["node_1"]
    assert mesh.gateway_of(known["node_1"], known) == ""
    assert mesh.gateway_of(known["node_2"], known) == SERVER
    assert mesh.peers_of(known[SERVER], known) == ["node_2"]


def test_a_gateway_that_was_chosen_comes_first() -> None:
    gateway = member("node_3", at="10.241.0.3")
    known = members(gateway, member("node_1", at="10.241.0.1", connect_to="node_3"))
    assert mesh.gateway_of(known["node_1"], known) == "node_3"
    assert mesh.server_connects_to(known) == ["node_3"]
    assert mesh.peers_of(gateway, known) == ["node_1", SERVER]


@pytest.mark.parametrize("chosen", ["node_9", "node_1", "node_2", SERVER])
def test_what_cannot_be_a_gateway_is_none(chosen: str) -> None:
    """Unknown, itself, without an address; and the server is everybody's anyway."""
    known = members(member("node_1", at="10.241.0.1", connect_to=chosen), member("node_2"))
    assert mesh.gateway_of(known["node_1"], known) == ""


def test_an_island_has_a_gateway_of_its_own() -> None:
    known = members(
        member("gateway_1", at="10.1.0.1", serves=7),
        member("node_1", island=7),
        member("node_2", island=8),
        member("node_3"),
    )
    found = {name: mesh.gateway_of(one, known) for name, one in known.items()}
    assert found == {
        SERVER: "",
        "gateway_1": "",
        "node_1": "gateway_1",
        "node_2": SERVER,
        "node_3": SERVER,
    }


NAMES = ["node_1", "node_2", "node_3", "host_1"]


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(
            st.booleans(),
            st.sampled_from([None, 1, 2]),
            st.sampled_from([None, 1, 2]),
            st.sampled_from(["", SERVER, *NAMES]),
        ),
    )
)
def test_every_connection_has_one_end_that_begins_it_and_keys_at_both(
    told: dict[str, tuple[bool, int | None, int | None, str]],
) -> None:
    known = members(
        *(
            member(name, at="10.0.0.1" if at else "", serves=serves, island=at_home, connect_to=to)
            for name, (at, serves, at_home, to) in told.items()
        )
    )
    begun = set(mesh.server_connects_to(known))
    for name in told:
        gateway = mesh.gateway_of(known[name], known)
        assert (name in begun) is (gateway == "")
        assert gateway != name
        if gateway:
            assert known[gateway].addresses
            assert name in mesh.peers_of(known[gateway], known)
            assert gateway in mesh.peers_of(known[name], known)
        else:
            assert known[name].addresses
            assert SERVER in mesh.peers_of(known[name], known)
        on = name
        for _ in told:  # everybody is joined to the server, over whomever
            on = mesh.gateway_of(known[on], known) or SERVER
        assert on == SERVER


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, settings: Settings) -> Path:
    settings.CONFIG = config.generated(tmp_path)
    return Path(settings.CONFIG.tinc)


def a_mesh() -> None:
    """The server, a node that it connects to, and a host that connects to it."""
    a_tinc_host(a_server(), address="10.241.255.250")
    a_tinc_host(a_node(pk=1), key=1, address="10.241.0.1")
    a_tinc_host(a_host(a_user(), pk=1), key=2)


def seen(place: Path) -> dict[str, int]:
    """Every file, and when it was written."""
    found = (path for path in place.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(place)): path.stat().st_mtime_ns for path in found}


@pytest.mark.django_db
def test_the_files_say_who_is_there(place: Path) -> None:
    a_mesh()
    assert writer.refresh()
    assert set(seen(place)) == {
        "connect",
        "address",
        "hosts/server",
        "hosts/node_1",
        "hosts/host_1",
    }
    assert (place / "connect").read_text() == "node_1\n"
    assert (place / "address").read_text() == "fd65:fc41:c50f:0:0:0:0:2\n".replace(
        ":0:0:0:0:", "::"
    )
    node = tinc.parse_host((place / "hosts/node_1").read_text())
    assert node.pubkey == a_pubkey(1)
    assert [str(one) for one in node.subnets] == ["fd65:fc41:c50f:1::/64"]
    assert node.addresses == (Address(addr="10.241.0.1"),)


@pytest.mark.django_db
def test_a_second_time_nothing_is_written(place: Path) -> None:
    a_mesh()
    writer.refresh()
    before = seen(place)
    assert not writer.refresh()
    assert seen(place) == before


@pytest.mark.django_db
def test_only_what_changed_is_written(place: Path) -> None:
    a_mesh()
    writer.refresh()
    before = seen(place)
    TincHost.objects.get(host=1).change(pubkey=a_pubkey(3))
    assert writer.refresh()
    after = seen(place)
    assert {name for name in after if after[name] != before[name]} == {"hosts/host_1"}


@pytest.mark.django_db
def test_who_leaves_is_forgotten_and_half_files_too(place: Path) -> None:
    a_mesh()
    writer.refresh()
    (place / "hosts/.node_1.part").write_text("half")
    TincHost.objects.get(node=1).delete()
    assert writer.refresh()
    assert not (place / "hosts/node_1").exists()
    assert not (place / "hosts/.node_1.part").exists()
    assert (place / "connect").read_text() == ""


@pytest.mark.django_db
@pytest.mark.parametrize("of", ["server", "node"])
def test_who_is_native_is_not_in_the_mesh(place: Path, of: str) -> None:
    a_mesh()
    writer.refresh()
    owner = TincHost.objects.get(**{f"{of}__isnull": False}).owner
    owner.change(mgmt_backend="native")
    writer.refresh()
    left = {"connect", "address", "hosts/server", "hosts/host_1"} if of == "node" else set()
    assert set(seen(place)) == left


@pytest.mark.django_db
def test_without_the_servers_key_there_is_no_mesh(place: Path) -> None:
    a_mesh()
    TincHost.objects.get(server__isnull=False).delete()
    assert not writer.refresh()
    assert seen(place) == {}


@pytest.mark.django_db
@pytest.mark.parametrize("step", ["pathlib.Path.rename", "os.fsync"])
def test_on_a_full_disk_the_old_files_stay_until_there_is_room(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    a_mesh()
    writer.refresh()
    before = (place / "hosts/host_1").read_text()
    TincHost.objects.get(host=1).change(pubkey=a_pubkey(3))
    with monkeypatch.context() as full, caplog.at_level(logging.WARNING):

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        full.setattr(step, fail)
        assert not writer.refresh()
    assert "tried again later" in caplog.text
    assert (place / "hosts/host_1").read_text() == before
    assert not list((place / "hosts").glob(".*"))
    assert writer.refresh()
    assert (place / "hosts/host_1").read_text() != before


@pytest.mark.django_db
def test_what_an_older_version_let_in_is_left_out(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a_mesh()
    TincHost.objects.filter(host=1).update(pubkey="garbage")
    TincAddress.objects.filter(host__node=1).update(addr="-x\nSubnet = ::/0")
    writer.refresh()
    assert set(seen(place)) == {"connect", "address", "hosts/server", "hosts/node_1"}
    assert "Subnet = ::" not in (place / "hosts/node_1").read_text()
    assert "host_1 is left out of the mesh" in caplog.text
    assert (place / "connect").read_text() == ""


@pytest.mark.django_db
def test_a_commit_writes_them(place: Path, django_capture_on_commit_callbacks: Commits) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        a_mesh()
    assert "node_1\n" in (place / "connect").read_text()
    with django_capture_on_commit_callbacks(execute=True):
        TincAddress.objects.get(host__node=1).delete()
    assert (place / "connect").read_text() == ""
    with django_capture_on_commit_callbacks(execute=True):
        TincHost.objects.get(node=1).delete()
    assert not (place / "hosts/node_1").exists()


def test_many_commits_of_requests_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of enrolments; what comes while it is written is written once more."""
    written, going_on = Queue[None](), Event()

    def refresh() -> bool:
        written.put(None)
        return going_on.wait(PATIENCE_S)

    def many() -> None:
        for _ in range(50):
            writer.changed()

    monkeypatch.setattr(writer, "refresh", refresh)
    for _ in range(2):
        request = Thread(target=many)
        request.start()
        request.join()
        written.get(timeout=PATIENCE_S)
    going_on.set()
    assert written.empty()


def test_what_cannot_be_read_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refresh() -> bool:
        raise OperationalError("locked")

    monkeypatch.setattr(writer, "refresh", refresh)
    writer._one_comes.acquire()
    writer._refresh_soon()
    assert "locked: tried again later" in caplog.text


@pytest.mark.django_db
def test_an_island_gateway_is_in_the_registry(place: Path) -> None:
    a_mesh()
    island = an_island()
    TincAddress.objects.filter(host__host=1).delete()
    TincAddress.objects.create(host=TincHost.objects.get(host=1), addr="10.9.0.1", island=island)
    a_tinc_host(a_node(pk=2, island=island), key=3)
    known = writer.load()
    assert mesh.gateway_of(known["node_2"], known) == "host_1"


# --- telling the service that copies them --------------------------------------------------------


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(config.VARIABLE, str(tmp_path / "controller.json"))
    return tmp_path / writer.PIPE


def test_a_service_that_waits_is_told(pipe: Path) -> None:
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer.tell()
    assert os.read(end, 10) == b"\n"
    os.close(end)


def test_one_that_does_not_wait_holds_nobody_up(pipe: Path) -> None:
    writer.tell()
    os.mkfifo(pipe)
    writer.tell()
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while os.write(end, b"\n" * 4096):
            continue
    writer.tell()
    os.close(end)


def test_what_is_no_pipe_is_left_alone(pipe: Path) -> None:
    pipe.write_text("mine")
    writer.tell()
    assert pipe.read_text() == "mine"


def test_a_settings_file_has_the_two_backends_only(tmp_path: Path) -> None:
    told = replace(config.generated(tmp_path), mgmt_backend="wireguard")
    config.write(told, tmp_path / "controller.json")
    with pytest.raises(InputError, match="tinc or native"):
        config.load({config.VARIABLE: str(tmp_path / "controller.json")})
