"""States as people see them: a word on a colour, with the sentence that says what it means."""

from __future__ import annotations

from enum import StrEnum

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from vct.controller.nodes.models import Node
from vct.controller.nodes.rules import api_configured
from vct.controller.slices.models import Sliver
from vct.controller.state.models import Status
from vct.wire.advice import Seen, advise, errors_of
from vct.wire.states import NodeState, SliverState

CHANGES_SHOWN = 10


def mark(state: StrEnum | str, sentence: str = "") -> SafeString:
    """The state's name, coloured by `style.css`."""
    return format_html('<span class="state state-{0}" title="{1}">{0}</span>', str(state), sentence)


def current_mark(thing: Node | Sliver) -> SafeString:
    """What it is, as far as is known now."""
    status: Status | None = getattr(thing, "status", None)
    value = status.current() if status else NodeState.NODATA
    states: type[NodeState | SliverState] = NodeState if isinstance(thing, Node) else SliverState
    return mark(value, states(value).sentence)


def told_mark(state: StrEnum) -> SafeString:
    """What it is told to be."""
    return mark(state, getattr(state, "sentence", ""))


def history(thing: Node | Sliver) -> SafeString | str:
    """The last changes, the newest first."""
    status: Status | None = getattr(thing, "status", None)
    if status is None:
        return "never asked"
    changes = status.history.all()[:CHANGES_SHOWN]
    lines = ((mark(one.value), f"{one.since:%Y-%m-%d %H:%M:%S}") for one in changes)
    return format_html_join("", "<div>{} since {}</div>", lines)


def advice(node: Node) -> SafeString:
    """Why the node is in its state, and what to do next."""
    status: Status = node.status if hasattr(node, "status") else Status()
    contact_s = (timezone.now() - status.contact_on).total_seconds() if status.contact_on else None
    told = advise(
        Seen(
            name=node.hex_id,
            set_state=node.set_state,
            state=status.current() if status.tried_on else NodeState.UNKNOWN,
            has_key=node.mgmt_ready(),
            has_api=api_configured(node.api_base_uri, node.api_cert),
            errors=errors_of(status.data),
            contact_s=contact_s,
            exception=str(status.metadata.get("exception") or ""),
        )
    )
    next_step = format_html("<div>Next: {}</div>", told.next_step) if told.next_step else ""
    return format_html("<div>{}</div>{}", told.sentence, next_step)


def answer(thing: Node | Sliver) -> str:
    """Why there is no answer, or where it came from."""
    status: Status | None = getattr(thing, "status", None)
    if status is None or status.tried_on is None:
        return "never asked"
    about = {"url": "", "status_code": "", "exception": "", **status.metadata}
    if about["exception"]:
        return f"{about['url']}: {about['exception']}"
    trusted = "its certificate is known" if status.verified else "not verified"
    return f"{about['url']}: {about['status_code']}, {trusted}"
