"""What goes over the wire: states with sentences, relations as they are spelled, limits."""

from __future__ import annotations

import itertools
from enum import StrEnum

import pytest

from vct.wire.limits import RESOURCES, VLAN_TAGS, InterfaceType
from vct.wire.relations import (
    Dialect,
    Function,
    Resource,
    link_header,
    list_relation,
    profile,
    relation,
)
from vct.wire.states import (
    NodeSetState,
    NodeState,
    SliverSetState,
    SliverState,
    effective_set_state,
)


def test_it_works() -> None:
    assert relation(Dialect.REGISTRY, Function.REBOOT) == (
        "http://confine-project.eu/rel/registry/do-reboot"
    )
    assert list_relation(Dialect.SERVER, Resource.NODE) == (
        "http://confine-project.eu/rel/server/node-list"
    )
    assert profile(Dialect.REGISTRY, Resource.SLIVER) == (
        "http://confine-project.eu/schema/registry/v1/sliver"
    )


@pytest.mark.parametrize(
    "state", [*NodeSetState, *NodeState, *SliverSetState, *SliverState], ids=repr
)
def test_every_state_has_one_sentence(state: NodeState) -> None:
    assert state.sentence.endswith(".")
    assert state.sentence.count(".") == 1


@pytest.mark.parametrize("order", [NodeSetState, SliverSetState])
def test_set_states_are_the_originals(order: type[StrEnum]) -> None:
    words = {"debug", "safe", "production", "failure"}, {"register", "deploy", "start"}
    assert set(order) == words[order is SliverSetState]


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.product(SliverSetState, repeat=2)), ids=str
)
def test_the_lower_set_state_counts(one: SliverSetState, other: SliverSetState) -> None:
    effective = effective_set_state(one, other)
    assert effective in (one, other)
    assert effective.height == min(one.height, other.height)


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (Function.REBOOT, "ctl/reboot/"),
        (Function.REQUEST_CERT, "ctl/request-cert/"),
        (Function.UPLOAD_EXP_DATA, "ctl/upload-exp-data/"),
        (Function.FIRMWARE, "ctl/firmware/"),
        (Function.VM, "ctl/vm/"),
    ],
)
def test_functions_are_below_their_object(function: Function, path: str) -> None:
    assert function.path == path


def test_links_are_on_one_line() -> None:
    links = [("http://rel/a", "http://host/a/"), ("next", "http://host/?page=2")]
    assert (
        link_header(links)
        == '<http://host/a/>; rel="http://rel/a", <http://host/?page=2>; rel="next"'
    )


@pytest.mark.parametrize("uri", ["http://host/a,b", "http://host/\r\nSet-Cookie: x", "<>"])
def test_a_link_that_clients_would_cut_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="Link header"):
        link_header([("next", uri)])


def test_interfaces_have_the_originals_numbers_and_names() -> None:
    assert {kind: (kind.main_number, kind.default_name) for kind in InterfaceType} == {
        "private": (0, "priv"),
        "management": (1, "mgmt0"),
        "public4": (2, "pub0"),
        "public6": (3, "pub1"),
        "debug": (4, "dbg0"),
        "isolated": (5, "iso0"),
    }


def test_there_are_as_many_tags_as_the_original_says() -> None:
    assert VLAN_TAGS == 3839


@pytest.mark.parametrize("name", RESOURCES)
def test_what_is_given_by_default_is_within_what_may_be_asked(name: str) -> None:
    assert RESOURCES[name].dflt_req <= RESOURCES[name].max_req <= RESOURCES[name].ceiling or (
        RESOURCES[name].ceiling == 0
    )
