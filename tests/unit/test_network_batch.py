"""Changes for many things at once: what is sent where, and whose problem it is when it fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vct.drivers.network import Network
from vct.drivers.network_batch import Batch, Pair, Setting
from vct.drivers.rtnetlink import Answer, Netlink
from vct.drivers.rtnetlink_codec import NetlinkError, Request
from vct.drivers.rtnetlink_messages import Address, set_link
from vct.errors import HostError


class FakeNetlink(Netlink):
    """Notes what it is asked; `faults` maps such words to the errno they are answered with once.
    An interface that is looked at has index 5."""

    def __init__(self, asked: list[str], namespace: str, faults: dict[str, int]) -> None:
        self._asked, self._namespace, self._faults = asked, namespace, faults

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        words = f"{self._namespace}: {request.what}"
        self._asked.append(words)
        code = self._faults.pop(words, 0)
        error = NetlinkError(code, "no") if code else None
        looked = request.what.startswith("look at") and not code
        told = set_link(request.what.split()[-1]).body if looked else b""
        return Answer(told[:4] + b"\5\0\0\0" + told[8:] if told else b"", error)


class FakeNetwork(Network):
    """Namespaces that exist only here; `gone` ones cannot be entered."""

    def __init__(self, gone: str = "") -> None:
        super().__init__(Path("/home"), "ring")
        self.asked: list[str] = []
        self.faults: dict[str, int] = {}
        self._gone = gone

    def at(self, namespace: str) -> Netlink:
        if namespace == self._gone:
            raise HostError(f"cannot enter namespace {namespace}")
        return FakeNetlink(self.asked, namespace, self.faults)

    @contextmanager
    def opened(self, namespace: str) -> Iterator[int]:
        if namespace == self._gone:
            raise FileNotFoundError(errno.ENOENT, "gone", namespace)
        yield 3


def pair(key: str, a: str, b: str) -> Pair:
    return Pair(key=key, namespace=a, interface="eth1", peer_namespace=b, peer="eth2")


def setting(key: str, namespace: str) -> Setting:
    addresses = [Address(address="10.242.0.1/32", peer="10.242.0.2")]
    return Setting(key=key, namespace=namespace, interface="eth1", addresses=addresses)


def test_it_works() -> None:
    network = FakeNetwork()
    batch = Batch(network)
    batch.make_pairs([pair("x", "a", "b"), pair("y", "b", "c"), pair("z", "a", "c")])
    made = "make veth pair eth1 and eth2"
    assert network.asked == [f"a: {made}", f"a: {made}", f"b: {made}"]
    assert batch.problems == {}


def test_an_interface_is_set_up_before_its_addresses_are_given() -> None:
    network = FakeNetwork()
    batch = Batch(network)
    batch.set_up([setting("x", "a"), setting("x", "b")])
    address = "give address 10.242.0.1/32 for 10.242.0.2"
    looks = ["set up interface eth1", "look at interface eth1"]
    assert network.asked == [
        *(f"{namespace}: {words}" for namespace in "ab" for words in looks),
        *(f"{namespace}: {address}" for namespace in "ab"),
    ]


def test_what_has_a_pairs_name_is_removed_and_the_pair_is_made() -> None:
    network = FakeNetwork()
    made = "a: make veth pair eth1 and eth2"
    network.faults[made] = errno.EEXIST
    batch = Batch(network)
    batch.make_pairs([pair("x", "a", "b")])
    removed = ["a: remove interface eth1", "b: remove interface eth2"]
    assert network.asked == [made, *removed, made]
    assert batch.problems == {}


def test_what_fails_is_the_problem_of_its_thing_alone() -> None:
    network = FakeNetwork()
    network.faults["a: set up interface eth1"] = errno.EPERM
    batch = Batch(network)
    batch.set_up([setting("x", "a"), setting("y", "b")])
    assert list(batch.problems) == ["x"]
    assert [words for words in network.asked if "give" in words] == [
        "b: give address 10.242.0.1/32 for 10.242.0.2"
    ]


def test_the_first_problem_of_a_thing_is_kept() -> None:
    network = FakeNetwork()
    network.faults |= {"a: set up interface eth1": errno.EPERM, "b: set up interface eth1": 19}
    batch = Batch(network)
    batch.set_up([setting("x", "a"), setting("x", "b")])
    problem = batch.problems["x"]
    assert isinstance(problem, NetlinkError)
    assert problem.errno == errno.EPERM


def test_a_namespace_that_is_gone_is_the_problem_of_all_that_need_it() -> None:
    network = FakeNetwork(gone="b")
    batch = Batch(network)
    batch.make_pairs([pair("x", "a", "b"), pair("y", "b", "c"), pair("z", "a", "c")])
    assert sorted(batch.problems) == ["x", "y"]
    assert network.asked == ["a: make veth pair eth1 and eth2"]


def test_nothing_more_is_sent_for_a_thing_with_a_problem() -> None:
    network = FakeNetwork()
    batch = Batch(network)
    batch.problems["x"] = HostError("no")
    batch.make_pairs([pair("x", "a", "b")])
    batch.set_up([setting("x", "a")])
    assert network.asked == []
