"""Slices and slivers: states, VLAN tags, expiry, interfaces, archives, counters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.factories import SHA256, a_group, a_node, a_slice, a_sliver, a_template
from vct.controller.slices import rules, verbs
from vct.controller.slices.interfaces import USUAL, Interface, Place, problem_of_all, problems
from vct.controller.slices.models import Slice, Sliver, SliverInterface, Template
from vct.wire.limits import VLAN_TAG_FIRST, VLAN_TAG_LAST, InterfaceType
from vct.wire.states import SliverSetState

pytestmark = pytest.mark.django_db
REGISTER, DEPLOY, START = SliverSetState
TODAY = date(2026, 2, 3)
ISOLATED = Interface(nr=5, type=InterfaceType.ISOLATED, name="iso0", parent="eth1")
EVERYTHING = Place(direct=["eth1", "eth2"], public_ipv4=True, allow_isolated=True)


def test_it_works() -> None:
    sliver = a_sliver()
    assert sliver.api_id == f"{sliver.slice_id}@{sliver.node_id}"
    assert sliver.effective_set_state == REGISTER
    assert sliver.effective_template == sliver.slice.template
    assert [one.name for one in sliver.interfaces.all()] == ["priv", "mgmt0"]


def test_a_new_slice_is_in_register_and_lives_thirty_days() -> None:
    slice_ = a_slice(set_state=START)
    assert slice_.set_state == REGISTER
    assert slice_.expires_on - slice_.made_on.date() == timedelta(days=30)


@pytest.mark.parametrize(
    ("of_slice", "of_sliver", "default", "effective"),
    [
        (START, None, START, START),
        (START, None, DEPLOY, DEPLOY),
        (START, REGISTER, START, REGISTER),
        (DEPLOY, START, REGISTER, DEPLOY),
        (REGISTER, START, START, REGISTER),
    ],
)
def test_the_lower_state_counts(
    of_slice: SliverSetState,
    of_sliver: SliverSetState | None,
    default: SliverSetState,
    effective: SliverSetState,
) -> None:
    slice_ = a_slice(sliver_set_state=default).change(set_state=of_slice)
    assert a_sliver(slice_, set_state=of_sliver).effective_set_state == effective


def test_a_slice_has_a_tag_while_it_needs_one() -> None:
    slice_ = a_slice(allow_isolated=True)
    assert slice_.isolated_vlan_tag is None
    assert slice_.change(set_state=DEPLOY).isolated_vlan_tag == VLAN_TAG_FIRST
    assert slice_.change(set_state=START).isolated_vlan_tag == VLAN_TAG_FIRST
    assert slice_.change(set_state=REGISTER).isolated_vlan_tag is None


def test_two_slices_have_two_tags() -> None:
    tags = [a_slice(allow_isolated=True).change(set_state=START) for _ in range(3)]
    assert [slice_.isolated_vlan_tag for slice_ in tags] == [256, 257, 258]


def test_without_a_free_tag_a_slice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    slice_ = a_slice(allow_isolated=True)
    monkeypatch.setattr(rules, "next_tag", lambda _: None)
    with pytest.raises(ValidationError) as refused:
        slice_.change(set_state=START)
    assert list(refused.value.message_dict) == ["set_state"]
    assert Slice.objects.get().set_state == REGISTER


@given(st.sets(st.integers(VLAN_TAG_FIRST, VLAN_TAG_LAST)))
def test_the_next_tag_is_free_and_in_range(used: set[int]) -> None:
    tag = rules.next_tag(used)
    assert tag is not None
    assert tag not in used
    assert VLAN_TAG_FIRST <= tag <= VLAN_TAG_LAST


def test_tags_go_up_before_they_are_used_again() -> None:
    assert rules.next_tag(set()) == VLAN_TAG_FIRST
    assert rules.next_tag({256, 300}) == 301
    assert rules.next_tag({256, VLAN_TAG_LAST}) == 257
    assert rules.next_tag(range(VLAN_TAG_FIRST, VLAN_TAG_LAST + 1)) is None


def test_isolation_changes_only_in_register() -> None:
    slice_ = a_slice().change(set_state=DEPLOY)
    with pytest.raises(ValidationError) as refused:
        slice_.change(allow_isolated=True)
    assert list(refused.value.message_dict) == ["allow_isolated"]


def test_isolation_stays_while_slivers_use_it() -> None:
    slice_ = a_slice(allow_isolated=True)
    a_sliver(slice_, a_node(direct=("eth1",)), interfaces=(*USUAL, ISOLATED))
    with pytest.raises(ValidationError):
        slice_.change(allow_isolated=False)


def test_a_group_that_loses_its_permission_has_no_slice_started() -> None:
    group = a_group()
    slice_ = a_slice(group, allow_isolated=True).change(set_state=START)
    group.change(allow_slices=False)
    slice_.refresh_from_db()
    assert slice_.set_state == DEPLOY
    with pytest.raises(ValidationError):
        slice_.change(set_state=START)


def test_renewed_slices_live_on_and_ended_ones_are_deleted() -> None:
    old, new = a_slice(expires_on=TODAY), a_slice(expires_on=TODAY)
    verbs.renew(new)
    assert verbs.delete_ended(TODAY) == [old.name]
    assert list(Slice.objects.all()) == [new]


@pytest.mark.parametrize(("days", "warned"), [(0, False), (1, True), (4, True), (5, False)])
def test_people_are_warned_four_days_before(days: int, *, warned: bool) -> None:
    slice_ = a_slice(expires_on=TODAY + timedelta(days=days))
    assert (slice_ in verbs.ending_soon(TODAY)) == warned


def test_counters_count_every_order() -> None:
    sliver = a_sliver()
    slice_ = Slice.objects.get(pk=sliver.slice_id)
    verbs.update(sliver)
    verbs.update(Sliver.objects.get(pk=sliver.pk))
    verbs.reset(slice_)
    sliver.refresh_from_db()
    assert sliver.instance_sn == 2
    assert (slice_.sliver_instance_sn, slice_.instance_sn) == (2, 1)


def test_a_new_sliver_starts_where_the_slice_is() -> None:
    first = a_sliver()
    verbs.update(first)
    assert a_sliver(Slice.objects.get(), a_node()).instance_sn == 1


def test_a_slice_has_one_sliver_on_a_node() -> None:
    sliver = a_sliver()
    with pytest.raises(ValidationError, match="on this node"):
        a_sliver(sliver.slice, sliver.node)


@pytest.mark.parametrize("field", ["slice", "node"])
def test_a_sliver_stays_where_it_is(field: str) -> None:
    other = a_slice() if field == "slice" else a_node()
    with pytest.raises(ValidationError) as refused:
        a_sliver().change(**{field: other})
    assert list(refused.value.message_dict) == [field]


def test_a_template_in_use_stays() -> None:
    slice_ = a_slice()
    with pytest.raises(ProtectedError):
        slice_.template.delete()
    assert Slice.objects.get().template == slice_.template


@pytest.mark.parametrize(
    ("interfaces", "member"),
    [
        ([Interface(nr=256, type=InterfaceType.DEBUG, name="dbg0")], "nr"),
        ([Interface(nr=3, type=InterfaceType.PRIVATE, name="priv")], "nr"),
        ([Interface(nr=0, type=InterfaceType.DEBUG, name="dbg0")], "nr"),
        ([Interface(nr=0, type=InterfaceType.PRIVATE, name="Priv")], "name"),
        ([Interface(nr=0, type=InterfaceType.PRIVATE, name="averylongname")], "name"),
        ([Interface(nr=0, type=InterfaceType.PRIVATE, name="p", parent="eth1")], "type"),
        ([Interface(nr=5, type=InterfaceType.ISOLATED, name="iso0")], "parent_name"),
        ([Interface(nr=5, type=InterfaceType.ISOLATED, name="iso0", parent="x")], "parent_name"),
        ([*USUAL, *USUAL], "nr"),
    ],
)
def test_a_bad_interface_is_named(interfaces: list[Interface], member: str) -> None:
    assert next(iter(problems(interfaces, EVERYTHING)[0])) == member


@pytest.mark.parametrize("kind", [InterfaceType.PUBLIC4, InterfaceType.ISOLATED])
def test_what_node_or_slice_do_not_have_is_refused(kind: InterfaceType) -> None:
    nothing = Place(direct=["eth1"], public_ipv4=False, allow_isolated=False)
    parent = "eth1" if kind is InterfaceType.ISOLATED else None
    one = Interface(nr=kind.main_number, type=kind, name=kind.default_name, parent=parent)
    assert problems([one], EVERYTHING) == [{}]
    assert problems([one], nothing) != [{}]


@pytest.mark.parametrize(
    ("interfaces", "words"),
    [
        ([], "private"),
        ([USUAL[1]], "private"),
        ([*USUAL, Interface(nr=9, type=InterfaceType.MANAGEMENT, name="mgmt1")], "at most one"),
        ([USUAL[0], Interface(nr=9, type=InterfaceType.DEBUG, name="dbg0")], "number 4"),
        (
            [
                *USUAL,
                ISOLATED,
                Interface(nr=6, type=InterfaceType.ISOLATED, name="iso1", parent="eth1"),
            ],
            "of its own",
        ),
    ],
)
def test_all_interfaces_together_have_rules(interfaces: list[Interface], words: str) -> None:
    assert words in problem_of_all(interfaces)


def test_bad_interfaces_leave_no_sliver() -> None:
    with pytest.raises(ValidationError) as refused:
        a_sliver(interfaces=(USUAL[0], Interface(nr=0, type=InterfaceType.DEBUG, name="dbg0")))
    assert Sliver.objects.count() == 0
    each = refused.value.error_dict["interfaces"][0].params
    assert each == {"each": [{"nr": ["Another interface has this number."]}] * 2}


@pytest.mark.parametrize(
    "fields",
    [
        {"nr": 7, "name": "x0", "type": "private"},
        {"nr": 7, "name": "x0", "type": "isolated"},
        {"nr": 1, "name": "x0", "type": "debug"},
        {"nr": 7, "name": "priv", "type": "debug"},
        {"nr": 7, "name": "x0", "type": "quantum"},
    ],
)
def test_the_database_refuses_bad_interfaces_too(fields: dict[str, object]) -> None:
    sliver = a_sliver()
    with pytest.raises(IntegrityError), transaction.atomic():
        SliverInterface.objects.bulk_create([SliverInterface(sliver=sliver, **fields)])


def test_addresses_are_those_of_the_plan() -> None:
    node = a_node(pk=2)
    debug = Interface(nr=4, type=InterfaceType.DEBUG, name="dbg0")
    public = Interface(nr=3, type=InterfaceType.PUBLIC6, name="pub1")
    sliver = a_sliver(a_slice(pk=3), node, interfaces=(*USUAL, debug, public))
    assert [str(one.address) for one in sliver.interfaces.all()] == [
        "fdbd:e804:6aa9:0:1000::3",
        "fd65:fc41:c50f:2:1001::3",
        "None",
        "fd5f:eee5:e6ad:2:1004::3",
    ]


def test_resources_are_asked_for_by_name() -> None:
    sliver = a_sliver()
    verbs.set_resources(sliver, {"memory": 64})
    verbs.set_resources(sliver, {"memory": 32, "disk": 100})
    assert {one.name: one.req for one in sliver.resources.all()} == {"memory": 32, "disk": 100}
    with pytest.raises(ValidationError):
        verbs.set_resources(sliver, {"pub_ipv4": 1})
    assert sliver.resources.count() == 2


@pytest.mark.parametrize("make", [a_slice, a_sliver])
def test_external_data_needs_its_digest(make: Callable[..., Slice | Sliver]) -> None:
    thing = make()
    with pytest.raises(ValidationError) as refused:
        thing.change(data_uri="http://data.example/x.tgz")
    assert "data_sha256" in refused.value.message_dict
    thing.change(data_sha256=SHA256)
    with pytest.raises(ValidationError):
        thing.change(data_uri="javascript:alert(1)")


@pytest.mark.parametrize("archs", [[], ["vax"], "x86_64", None, {"x86_64": 1}])
def test_a_template_is_for_known_machines(archs: object) -> None:
    with pytest.raises(ValidationError) as refused:
        a_template(node_archs=archs)
    assert list(refused.value.message_dict) == ["node_archs"]
    assert Template.objects.count() == 0
