"""Every state that is published, each with one sentence for people.

Set states are orders (what an administrator wants), states are reports (what a node says of itself
and of its slivers, or what the controller concludes when it says nothing). The rules for moving
between set states are the controller's; those for reported states are the agent's.
"""

from __future__ import annotations

from enum import StrEnum


class NodeSetState(StrEnum):
    """What a node is told to be."""

    DEBUG = "debug"
    SAFE = "safe"
    PRODUCTION = "production"
    FAILURE = "failure"

    @property
    def sentence(self) -> str:
        return _NODE_SET_SENTENCES[self]


class NodeState(StrEnum):
    """What a node is: the first four it says itself, the others the controller concludes."""

    DEBUG = "debug"
    SAFE = "safe"
    PRODUCTION = "production"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    OFFLINE = "offline"
    NODATA = "nodata"
    CRASHED = "crashed"

    @property
    def sentence(self) -> str:
        return _NODE_SENTENCES[self]


class SliverSetState(StrEnum):
    """What slivers are told to be, from the lowest to the highest."""

    REGISTER = "register"
    DEPLOY = "deploy"
    START = "start"

    @property
    def sentence(self) -> str:
        return _SLIVER_SET_SENTENCES[self]

    @property
    def height(self) -> int:
        return list(SliverSetState).index(self)


class SliverState(StrEnum):
    """What a sliver is: the first seven its node says, the others the controller concludes."""

    REGISTERED = "registered"
    FAIL_ALLOCATE = "fail_allocate"
    ALLOCATED = "allocated"
    FAIL_DEPLOY = "fail_deploy"
    DEPLOYED = "deployed"
    FAIL_START = "fail_start"
    STARTED = "started"
    UNKNOWN = "unknown"
    OFFLINE = "offline"
    NODATA = "nodata"
    CRASHED = "crashed"

    @property
    def sentence(self) -> str:
        return _SLIVER_SENTENCES[self]


def effective_set_state(of_slice: SliverSetState, of_sliver: SliverSetState) -> SliverSetState:
    """What a sliver is really told: the lower of what its slice and itself are told."""
    return min(of_slice, of_sliver, key=lambda state: state.height)


_NODE_SET_SENTENCES = {
    NodeSetState.DEBUG: "The node's configuration is not complete, it must not run slivers.",
    NodeSetState.SAFE: "The node keeps its slivers stopped and takes no new ones.",
    NodeSetState.PRODUCTION: "The node runs slivers.",
    NodeSetState.FAILURE: "The node is known to be broken, it must not run slivers.",
}
_CONCLUDED = {
    "unknown": "What answered did not say what state it is in.",
    "offline": "The last attempt to reach it failed.",
    "nodata": "It was not asked recently.",
    "crashed": "It has not fetched its orders for two hours.",
}
_NODE_SENTENCES = {
    NodeState.DEBUG: "The node's configuration is wrong or not complete, it has no slivers.",
    NodeState.SAFE: "The node works, its slivers are stopped.",
    NodeState.PRODUCTION: "The node works and runs slivers.",
    NodeState.FAILURE: "The node was declared broken, it has no slivers.",
    **{NodeState(name): sentence for name, sentence in _CONCLUDED.items()},
}
_SLIVER_SET_SENTENCES = {
    SliverSetState.REGISTER: "The sliver is described and has nothing on its node.",
    SliverSetState.DEPLOY: "The sliver has its files on its node and is stopped.",
    SliverSetState.START: "The sliver runs.",
}
_SLIVER_SENTENCES = {
    SliverState.REGISTERED: "The node knows the sliver and has nothing of it yet.",
    SliverState.FAIL_ALLOCATE: "The node could not give the sliver what it asks for; it tries on.",
    SliverState.ALLOCATED: "The node keeps addresses and resources for the sliver.",
    SliverState.FAIL_DEPLOY: "The node could not make the sliver's file system; it tries on.",
    SliverState.DEPLOYED: "The sliver's file system is there, the sliver is stopped.",
    SliverState.FAIL_START: "The node could not start the sliver; it tries on.",
    SliverState.STARTED: "The sliver runs.",
    **{SliverState(name): sentence for name, sentence in _CONCLUDED.items()},
}
