"""Random orders in random sequence never lead to a state or a move that is not published.

Each rule of a machine is something that people or the controller do; the invariants are the
reference's. The objects live in the test database, each run in a transaction that is undone.
VCT_EXAMPLES=2000 makes it thousands of sequences instead of a glance.
"""

from __future__ import annotations

import os

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.controller.factories import a_group, a_node, a_sliver, a_template, a_tinc_host
from vct.controller.nodes import rules as node_rules
from vct.controller.nodes import verbs as node_verbs
from vct.controller.nodes.models import Node
from vct.controller.slices import verbs as slice_verbs
from vct.controller.slices.models import Slice
from vct.wire.limits import VLAN_TAG_FIRST, VLAN_TAG_LAST, MgmtBackend
from vct.wire.states import NodeSetState, SliverSetState

pytestmark = pytest.mark.django_db
EXAMPLES = settings(
    max_examples=int(os.environ.get("VCT_EXAMPLES", "20")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class InTransaction(RuleBasedStateMachine):
    """A machine whose rows are gone when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = transaction.atomic()
        self.outer.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.outer.__exit__(None, None, None)


class NodeMachine(InTransaction):
    """One node, its key, its API, its group's permission, and people who order it about."""

    def __init__(self) -> None:
        super().__init__()
        self.node = a_node(a_group())
        self.before = self.stored()
        self.by_hand = False

    def stored(self) -> Node:
        return Node.objects.select_related("group", "tinc").get(pk=self.node.pk)

    @rule(state=st.sampled_from(NodeSetState))
    def somebody_orders(self, state: NodeSetState) -> None:
        try:
            self.stored().change(set_state=state)
        except ValidationError:
            assert self.stored().set_state == self.before.set_state

    @rule(uri=st.sampled_from(["", "http://[fd65::2]/", "https://[fd65::2]/"]))
    def the_api_is_set(self, uri: str) -> None:
        self.stored().change(api_base_uri=uri)

    @rule(backend=st.sampled_from(MgmtBackend))
    def the_backend_is_set(self, backend: MgmtBackend) -> None:
        self.stored().change(mgmt_backend=backend)

    @precondition(lambda self: not self.stored().has_tinc_key())
    @rule()
    def a_key_comes(self) -> None:
        a_tinc_host(self.stored())

    @precondition(lambda self: self.stored().has_tinc_key())
    @rule()
    def the_key_goes(self) -> None:
        self.stored().tinc.delete()

    @rule(allow=st.booleans())
    def the_group_is_allowed(self, *, allow: bool) -> None:
        self.node.group.__class__.objects.get().change(allow_nodes=allow)

    @rule()
    def it_is_rebooted(self) -> None:
        node_verbs.reboot(self.stored())

    @invariant()
    def its_state_fits_what_is_known_of_it(self) -> None:
        node = self.stored()
        assert (node.set_state == NodeSetState.DEBUG) == (not node.is_configured())
        assert node.set_state != NodeSetState.PRODUCTION or node.group.allow_nodes

    @invariant()
    def every_move_is_a_published_one(self) -> None:
        old, new = (NodeSetState(node.set_state) for node in (self.before, self.stored()))
        automatic = {(NodeSetState.DEBUG, NodeSetState.SAFE)}
        to_debug = new is NodeSetState.DEBUG
        assert node_rules.may_move(old, new) or (old, new) in automatic or to_debug
        assert self.stored().boot_sn - self.before.boot_sn in (0, 1)
        self.before = self.stored()


class SliceMachine(InTransaction):
    """Three slices that compete for VLAN tags, with slivers, and people who order them about."""

    def __init__(self) -> None:
        super().__init__()
        self.group = a_group()
        template = a_template()
        self.slices = [
            Slice.objects.create(name=name, group=self.group, template=template)
            for name in ("one", "two", "three")
        ]
        self.slivers = [a_sliver(slice_, a_node(self.group)) for slice_ in self.slices]

    def stored(self, number: int) -> Slice:
        return Slice.objects.get(pk=self.slices[number].pk)

    @rule(number=st.integers(0, 2), state=st.sampled_from(SliverSetState))
    def somebody_orders(self, number: int, state: SliverSetState) -> None:
        before = self.stored(number)
        try:
            after = self.stored(number).change(set_state=state)
        except ValidationError:
            assert state is SliverSetState.START
            assert not before.group.allow_slices
        else:
            kept = SliverSetState.REGISTER not in (before.set_state, after.set_state)
            assert not kept or before.isolated_vlan_tag == after.isolated_vlan_tag

    @rule(number=st.integers(0, 2), state=st.none() | st.sampled_from(SliverSetState))
    def a_sliver_is_ordered(self, number: int, state: SliverSetState | None) -> None:
        sliver = self.slivers[number]
        sliver.refresh_from_db()
        sliver.change(set_state=state)

    @rule(number=st.integers(0, 2), allow=st.booleans())
    def isolation_is_wanted(self, number: int, *, allow: bool) -> None:
        slice_ = self.stored(number)
        before = slice_.allow_isolated
        try:
            slice_.change(allow_isolated=allow)
        except ValidationError:
            assert allow != before
            assert slice_.set_state != SliverSetState.REGISTER

    @rule(number=st.integers(0, 2))
    def it_is_reset(self, number: int) -> None:
        before = self.stored(number).instance_sn
        slice_verbs.reset(self.stored(number))
        assert self.stored(number).instance_sn == before + 1

    @rule(number=st.integers(0, 2))
    def a_sliver_is_updated(self, number: int) -> None:
        before = self.stored(number).sliver_instance_sn
        slice_verbs.update(self.slivers[number])
        assert self.stored(number).sliver_instance_sn == before + 1

    @rule(allow=st.booleans())
    def the_group_is_allowed(self, *, allow: bool) -> None:
        self.group.refresh_from_db()
        self.group.change(allow_slices=allow)

    @invariant()
    def tags_are_unique_and_where_they_are_needed(self) -> None:
        slices = list(Slice.objects.all())
        tags = [one.isolated_vlan_tag for one in slices if one.isolated_vlan_tag is not None]
        assert len(set(tags)) == len(tags)
        assert all(VLAN_TAG_FIRST <= tag <= VLAN_TAG_LAST for tag in tags)
        for one in slices:
            needed = one.allow_isolated and one.set_state != SliverSetState.REGISTER
            assert needed == (one.isolated_vlan_tag is not None)

    @invariant()
    def a_sliver_is_never_told_more_than_its_slice(self) -> None:
        for sliver in self.slivers:
            sliver.refresh_from_db()
            told = sliver.effective_set_state
            assert told.height <= SliverSetState(sliver.slice.set_state).height
            if sliver.set_state:
                assert told.height <= SliverSetState(sliver.set_state).height

    @invariant()
    def nothing_runs_without_permission(self) -> None:
        started = Slice.objects.filter(set_state=SliverSetState.START)
        assert not started.filter(group__allow_slices=False).exists()


def run(machine: type[RuleBasedStateMachine]) -> None:
    """In the transaction of the test, which hypothesis' own TestCase does not have."""
    run_state_machine_as_test(machine, settings=EXAMPLES)


def test_it_works() -> None:
    machine = NodeMachine()
    machine.a_key_comes()
    machine.the_api_is_set("http://[fd65::2]/")
    assert machine.stored().set_state == NodeSetState.SAFE
    machine.teardown()
    assert Node.objects.count() == 0


@pytest.mark.slow
def test_a_node_never_leaves_the_published_states() -> None:
    run(NodeMachine)


@pytest.mark.slow
def test_slices_and_slivers_never_leave_the_published_states() -> None:
    run(SliceMachine)
