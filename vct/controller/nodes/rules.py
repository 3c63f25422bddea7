"""How a node's set state moves. Pure: the model asks, nothing here knows of a database.

A node is `debug` until it can be reached and checked (its management network is ready and its API
is configured), is moved to `safe` then, and falls back when it loses either. Between safe,
production and failure people move it.
"""

from __future__ import annotations

from vct.wire.states import NodeSetState

BY_HAND = {
    (NodeSetState.SAFE, NodeSetState.PRODUCTION),
    (NodeSetState.PRODUCTION, NodeSetState.SAFE),
    (NodeSetState.SAFE, NodeSetState.FAILURE),
    (NodeSetState.PRODUCTION, NodeSetState.FAILURE),
    (NodeSetState.FAILURE, NodeSetState.SAFE),
}


def settled(state: NodeSetState, *, configured: bool) -> NodeSetState:
    """The set state after what can be known of the node changed."""
    if not configured:
        return NodeSetState.DEBUG
    return NodeSetState.SAFE if state is NodeSetState.DEBUG else state


def may_move(old: NodeSetState, new: NodeSetState) -> bool:
    """Whether people may order this; staying is no move."""
    return old is new or (old, new) in BY_HAND


def why_not(old: NodeSetState, new: NodeSetState) -> str:
    """One sentence for who tried."""
    if old is NodeSetState.DEBUG:
        return "A node leaves debug by itself, once it has a tinc key and an API certificate."
    if new is NodeSetState.DEBUG:
        return "A node goes to debug by itself, when its configuration is not complete."
    return f"A node cannot be moved from {old} to {new}, move it to safe first."


def api_configured(base_uri: str, cert: str) -> bool:
    """A node's API can be asked when nothing has to be trusted, or there is something to trust."""
    if not base_uri:
        return False
    return not base_uri.startswith("https:") or bool(cert)
