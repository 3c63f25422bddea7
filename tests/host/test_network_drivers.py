"""The drivers of files, namespaces, bridges, links, uplink and DHCP on the real kernel.

Each test has a testbed of its own, of a random name in a directory of its own, without containers:
what a driver makes it must see as it was asked for, make twice without harm, change, and unmake.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vct.apply.journal import Journal
from vct.apply.loop import observe, run_plan
from vct.drivers import process
from vct.drivers.base import MakesMany, Problems
from vct.drivers.registry import open_drivers
from vct.errors import RefusedError, VctError
from vct.model.load import parse_testbed
from vct.paths import Home, TestbedPaths
from vct.plan.steps import diff
from vct.plan.things import (
    KINDS,
    Bridge,
    Container,
    Dhcp,
    Fabric,
    Keys,
    NodeFiles,
    NodeNetwork,
    OfflineMount,
    Port,
    Relay,
    Shaping,
    Thing,
    Uplink,
    Wire,
)
from vct.plan.wanted import BuiltImage, Facts, number, wanted

TESTBED = """\
defaults: {node: {disk: 16MiB}}
nodes: {"0001": {}, "0002": {}}
links:
  - {between: ["0001", "0002"], name: plain}
  - {between: ["0001", "0002"], name: slow, delay: 1ms}
segments: [{name: roof, members: ["0001", "0002"]}]
"""
MADE = [kind for kind in KINDS if kind not in (Container, OfflineMount, Shaping, Relay)]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A testbed's name and places, and what is wanted of it but for containers and shaping."""

    name: str
    home: Home
    things: list[Thing]

    @property
    def paths(self) -> TestbedPaths:
        return self.home.testbed(self.name)

    def of(self, kind: type[Thing]) -> list[Thing]:
        return [thing for thing in self.things if isinstance(thing, kind)]

    def make(self, *kinds: type[Thing]) -> None:
        """Make all things of these kinds, in order."""
        with open_drivers(self.home, self.name) as drivers:
            for kind in (kind for kind in KINDS if kind in kinds):
                for thing in self.of(kind):
                    drivers[kind].create(thing)

    def make_together(self, kind: type[Thing]) -> Problems:
        """Make all things of a kind in one go."""
        with open_drivers(self.home, self.name) as drivers:
            driver = drivers[kind]
            assert isinstance(driver, MakesMany)
            return driver.create_many(self.of(kind))

    def seen(self, kind: type[Thing]) -> list[Thing]:
        with open_drivers(self.home, self.name) as drivers:
            return sorted(drivers[kind].observe(), key=lambda thing: thing.key)

    def change(self, was: Thing, thing: Thing) -> None:
        with open_drivers(self.home, self.name) as drivers:
            drivers[type(was)].change(was, thing)

    def delete(self, thing: Thing) -> None:
        with open_drivers(self.home, self.name) as drivers:
            drivers[type(thing)].delete(thing)

    def claim(self, thing: Thing) -> None:
        with open_drivers(self.home, self.name) as drivers:
            drivers[type(thing)].claim(thing)

    def apply(self, want: list[Thing]) -> None:
        with open_drivers(self.home, self.name) as drivers:
            run_plan(diff(want, observe(drivers)), drivers, Journal(self.paths.journal))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    name = f"t{secrets.token_hex(3)}x"
    testbed = parse_testbed(f"name: {name}\n{TESTBED}", "test.yaml")
    image = BuiltImage(label="none@0", root=str(tmp_path / "image"))
    facts = Facts(netem=False, images={("node-debian", "amd64"): image})
    things = [t for t in wanted(testbed, number(testbed, None), facts) if type(t) in MADE]
    home = Home(root=tmp_path / "home", images=tmp_path / "images", run=tmp_path / "run")
    site = Site(name=name, home=home, things=sorted(things, key=lambda thing: thing.key))
    site.paths.nodes.mkdir(parents=True)
    yield site
    site.apply([])


def below(kind: type[Thing]) -> list[type[Thing]]:
    """The kinds that a kind needs."""
    return MADE[: MADE.index(kind)]


def inside(site: Site, node: str, *command: str) -> str:
    space = f"vct-{site.name}-{node}" if node else f"vct-{site.name}"
    return process.run(["ip", "netns", "exec", space, *command]).stdout


def test_it_works(site: Site) -> None:
    site.apply(site.things)
    for kind in MADE:
        assert site.seen(kind) == site.of(kind)
    site.apply([])
    assert [thing for kind in MADE for thing in site.seen(kind)] == []


@pytest.mark.parametrize("kind", MADE)
def test_what_was_made_is_seen_as_it_was_asked_for(site: Site, kind: type[Thing]) -> None:
    site.make(*below(kind), kind)
    assert site.seen(kind) == site.of(kind)


@pytest.mark.parametrize("kind", [kind for kind in MADE if kind is not Fabric])
def test_making_it_once_more_does_no_harm(site: Site, kind: type[Thing]) -> None:
    site.make(*below(kind), kind)
    site.make(kind)
    assert site.seen(kind) == site.of(kind)


@pytest.mark.parametrize("kind", MADE)
def test_what_was_unmade_is_gone_and_unmaking_it_again_is_no_error(
    site: Site, kind: type[Thing]
) -> None:
    site.make(*below(kind), kind)
    for _ in range(2):
        for thing in site.of(kind):
            site.delete(thing)
        assert site.seen(kind) == []


# --- changes -------------------------------------------------------------------------------------


def changed(site: Site) -> list[tuple[Thing, Thing]]:
    """Things as they are wanted, and as they might be wanted next."""
    found: list[tuple[Thing, Thing]] = []
    for was in site.things:
        match was:
            case Bridge(name="vct-local"):
                found.append(
                    (was, replace(was, mac="52:54:01:00:00:09", addresses=was.addresses[1:]))
                )
            case Uplink():
                far = "10.240.255.254/30"
                other = replace(was, host_address="10.240.255.253/30", fabric_address=far)
                found.append((was, other))
            case NodeNetwork(node="0001"):
                found.append((was, replace(was, addresses=("10.241.0.77/16",))))
            case Dhcp():
                found.append((was, replace(was, hosts=was.hosts[:1])))
                found.append((was, replace(was, last="10.241.0.99")))
            case NodeFiles(node="0001"):
                found.append((was, replace(was, disk_mib=20)))
                found.append((was, replace(was, disk_mib=12)))
            case Wire(link="plain", a=a) if a is not None:
                found.append((was, replace(was, device="tap")))
                found.append((was, replace(was, a=replace(a, mac="52:54:00:09:00:01"))))
            case Port(end=end):
                found.append((was, replace(was, end=replace(end, neighbours=("10.242.0.9",)))))
    return found


def test_what_was_changed_is_seen_so_and_back_again(site: Site) -> None:
    site.make(*MADE)
    for was, thing in changed(site):
        site.change(was, thing)
        assert thing in site.seen(type(was)), f"{was} was not changed"
        site.change(thing, was)
        assert was in site.seen(type(was)), f"{was} was not changed back"


def test_a_disk_keeps_what_is_on_it_when_its_size_changes(site: Site) -> None:
    site.make(Keys, NodeFiles)
    image = site.paths.node("0001").disk_image
    note = site.home.root / "note"
    note.write_text("mine\n")
    process.run(["debugfs", "-w", "-R", f"write {note} note", str(image)])
    files = NodeFiles(node="0001", disk_mib=16)
    for size in (40, 10):
        site.change(files, replace(files, disk_mib=size))
        said = process.run(["debugfs", "-R", "cat note", str(image)]).stdout
        assert said == "mine\n"


def test_a_disk_that_is_too_full_to_shrink_stays_as_it_is(site: Site) -> None:
    site.make(Keys, NodeFiles)
    image = site.paths.node("0001").disk_image
    big = site.home.root / "big"
    big.write_bytes(b"x" * 12 * 1024 * 1024)
    process.run(["debugfs", "-w", "-R", f"write {big} big", str(image)])
    files = NodeFiles(node="0001", disk_mib=16)
    with pytest.raises(RefusedError, match="cannot shrink to 8 MiB"):
        site.change(files, replace(files, disk_mib=8))
    assert files in site.seen(NodeFiles)


@pytest.mark.parametrize("kind", [NodeNetwork, Wire, Port])
def test_many_that_are_made_together_are_seen_as_they_were_asked_for(
    site: Site, kind: type[Thing]
) -> None:
    site.make(*below(kind))
    assert site.make_together(kind) == {}
    assert site.seen(kind) == site.of(kind)
    assert site.make_together(kind) == {}  # and once more does no harm
    assert site.seen(kind) == site.of(kind)


def test_of_many_the_one_that_fails_is_told_and_the_other_is_made(site: Site) -> None:
    site.make(*below(Port))
    first, second = site.of(Port)
    process.run(["ip", "netns", "del", f"vct-{site.name}-0002"])
    problems = site.make_together(Port)
    assert list(problems) == [second.key]
    assert isinstance(problems[second.key], OSError)
    assert site.seen(Port) == [first]


# --- after a crash in the middle -----------------------------------------------------------------


def test_a_link_that_was_never_marked_is_seen_and_replaced(site: Site) -> None:
    site.make(*below(Wire))
    near, far = f"vct-{site.name}-0001", f"vct-{site.name}-0002"
    pair = ["name", "eth1", "type", "veth", "peer", "name", "eth1", "netns", far]
    process.run(["ip", "-n", near, "link", "add", *pair])
    assert [wire.key for wire in site.seen(Wire)] == [
        "unfinished 0001 eth1",
        "unfinished 0002 eth1",
    ]
    site.apply(site.things)
    assert site.seen(Wire) == site.of(Wire)


def test_a_bridge_without_its_addresses_is_healed(site: Site) -> None:
    site.make(Keys, Fabric)
    inside(site, "", "ip", "link", "add", "name", "vct-local", "type", "bridge")
    assert site.seen(Bridge) != site.of(Bridge)
    site.apply(site.things)
    assert site.seen(Bridge) == site.of(Bridge)


def test_a_disk_that_was_not_finished_is_made(site: Site) -> None:
    site.make(Keys)
    directory = site.paths.node("0001").root
    directory.mkdir()
    (directory / ".disk.img.new").write_text("half")
    assert site.seen(NodeFiles) == [NodeFiles(node="0001", disk_mib=0)]
    site.apply(site.things)
    assert site.seen(NodeFiles) == site.of(NodeFiles)


def test_one_end_of_a_link_that_is_gone_takes_the_link(site: Site) -> None:
    site.make(*MADE)
    inside(site, "0002", "ip", "link", "del", "dev", "eth1")
    assert [wire.key for wire in site.seen(Wire)] == ["slow"]
    site.apply(site.things)
    assert site.seen(Wire) == site.of(Wire)


# --- others' things ------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["", "-0002"])
def test_a_namespace_of_somebody_else_is_refused_and_left_alone(site: Site, node: str) -> None:
    name = f"vct-{site.name}{node}"
    process.run(["ip", "netns", "add", name])
    try:
        with pytest.raises(RefusedError, match=f"a network namespace {name} exists and is not"):
            site.apply(site.things)
        assert site.seen(Keys) == []  # refused before the first change
        assert name in process.run(["ip", "netns", "list"]).stdout
    finally:
        process.run(["ip", "netns", "del", name])


def test_an_interface_of_somebody_else_is_refused_and_left_alone(site: Site) -> None:
    (uplink,) = site.of(Uplink)
    process.run(["ip", "link", "add", "name", uplink.key, "type", "bridge"])
    try:
        with pytest.raises(RefusedError, match=f"an interface {uplink.key} exists"):
            site.claim(uplink)
        site.delete(uplink)
        assert process.run(["ip", "link", "show", "dev", uplink.key]).code == 0
    finally:
        process.run(["ip", "link", "del", "dev", uplink.key], check=False)


def test_a_firewall_table_of_somebody_else_is_refused_and_left_alone(site: Site) -> None:
    (uplink,) = site.of(Uplink)
    table = f"vct-{site.name}"
    process.run(["nft", "add", "table", "ip", table])
    try:
        with pytest.raises(RefusedError, match=f"an nftables table {table} exists"):
            site.claim(uplink)
        site.delete(uplink)
        assert process.run(["nft", "list", "table", "ip", table]).code == 0
    finally:
        process.run(["nft", "delete", "table", "ip", table], check=False)


def test_an_interface_of_somebody_else_stays_even_when_the_uplink_lost_its_own(site: Site) -> None:
    site.make(*MADE)
    (uplink,) = site.of(Uplink)
    process.run(["ip", "link", "del", "dev", uplink.key])
    process.run(["ip", "link", "add", "name", uplink.key, "type", "bridge"])
    try:
        with pytest.raises(VctError, match=f"interface {uplink.key}"):
            site.apply(site.things)
        site.apply([])
        assert process.run(["ip", "link", "show", "dev", uplink.key]).code == 0
    finally:
        process.run(["ip", "link", "del", "dev", uplink.key], check=False)


# --- offline mounts ------------------------------------------------------------------------------


def test_a_stopped_nodes_disk_is_mounted_over_its_image_and_unmounted(site: Site) -> None:
    site.make(Keys, NodeFiles)
    image = site.home.root / "image"
    (image / "etc").mkdir(parents=True)
    (image / "etc" / "issue").write_text("below\n")
    with open_drivers(site.home, site.name) as drivers:
        driver = drivers[OfflineMount]
        thing = OfflineMount(node="0001", root=str(image))
        driver.create(thing)
        place = site.paths.mounts / "0001" / "root"
        assert (place / "etc" / "issue").read_text() == "below\n"
        (place / "etc" / "issue").write_text("above\n")
        assert [mount.key for mount in driver.observe()] == ["0001"]
        driver.delete(thing)
        driver.delete(thing)
        assert driver.observe() == []
    assert (image / "etc" / "issue").read_text() == "below\n"
