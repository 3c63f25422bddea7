"""What people are told about a node: one sentence and one next step for each thing that happens."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from vct.wire.advice import TEXT_MAX, Advice, Seen, advise, errors_of
from vct.wire.states import NodeSetState, NodeState

LOG = "vct node exec 0a12 tail -n 20 /persist/log/agent.log"
INFO = "vct node info 0a12"


def advice(set_state: str, state: str, **more: Any) -> Advice:
    return advise(Seen(name="0a12", set_state=set_state, state=state, **more))


def test_it_works() -> None:
    assert advice("production", "production") == Advice(sentence="The node works and runs slivers.")


@pytest.mark.parametrize(
    ("seen", "words", "next_step"),
    [
        (
            {"container": False, "state": "production"},
            "container does not run",
            "vct node start 0a12",
        ),
        (
            {"set_state": "debug", "state": "unknown", "has_key": False, "has_api": False},
            "does not know its tinc key and its API",
            "vct node create 0a12",
        ),
        (
            {"set_state": "debug", "state": "offline", "has_key": True, "has_api": False},
            "does not know its API",
            "vct node create 0a12",
        ),
        ({"set_state": "failure", "state": "safe"}, "declared broken", "once it is repaired"),
        (
            {"state": "failure", "errors": [("boot_sn", "no room")]},
            "gave up: boot_sn: no room",
            LOG,
        ),
        ({"state": "offline", "management": True}, "its agent does not", LOG),
        (
            {"state": "offline", "management": False, "local": True},
            "cannot be reached in the management network",
            "vct node exec 0a12 pgrep -a tincd",
        ),
        (
            {"state": "offline", "management": False, "container": True},
            "cannot be reached in the management network",
            "vct controller log",
        ),
        (
            {"state": "crashed", "management": False, "local": False, "container": True},
            "nothing in it answers",
            "vct node console 0a12",
        ),
        (
            {"state": "offline", "exception": "ConnectError: refused", "contact_s": 130.0},
            "when it was asked (heard of 2 min ago): ConnectError: refused.",
            INFO,
        ),
        ({"state": "crashed", "contact_s": 8000.0}, "two hours (heard of 2 h ago)", INFO),
        ({"state": "nodata"}, "not asked the node recently", "vct controller log"),
        ({"state": "unknown"}, "not heard of the node yet", INFO),
        ({"state": "unknown", "contact_s": 3.0}, "did not say what state", LOG),
        ({"state": "melted", "contact_s": 3.0}, "did not say what state", LOG),
        (
            {"state": "debug", "errors": [("arch", "I am i686.")]},
            "wrong or not complete: arch: I am i686.",
            "correct that; then: " + LOG,
        ),
        ({"state": "debug"}, "does not say what", LOG),
        (
            {"state": "production", "errors": [("", "no memory"), ("disk", "full")]},
            "has an error: no memory (and 1 more)",
            LOG,
        ),
        ({"state": "safe", "ordered_s": 1.0}, "told production 1 s ago and is still in safe", INFO),
        ({"state": "safe", "ordered_s": 600.0}, "has not followed that order yet", LOG),
        ({"state": "safe"}, "told production and is still in safe", LOG),
        ({"set_state": "safe", "state": "safe"}, "slivers are stopped", "move it to production"),
        (
            {"state": "production", "management": False, "contact_s": 5.0},
            "said production (heard of 5 s ago), but does not answer",
            INFO,
        ),
    ],
)
def test_each_thing_that_happens_has_its_words(
    seen: dict[str, Any], words: str, next_step: str
) -> None:
    told = advice(**{"set_state": "production", **seen})
    assert words in told.sentence
    assert next_step in told.next_step


@pytest.mark.parametrize(
    ("set_state", "state", "reached"), list(product(NodeSetState, NodeState, (None, False, True)))
)
def test_there_is_one_sentence_for_whatever_is_seen(
    set_state: str, state: str, reached: bool | None
) -> None:
    told = advice(set_state, state, management=reached, local=reached, container=reached)
    assert told.sentence.startswith("The ")
    assert told.sentence.endswith(".")
    assert "\n" not in told.sentence
    well = set_state == state == "production" and reached is not False
    assert bool(told.next_step) is not well


def test_what_a_node_says_is_one_short_line() -> None:
    told = advice("safe", "debug", errors=[("x\ny", "z\r\n" * 1000)])
    assert "\n" not in told.sentence
    assert len(told.sentence) < TEXT_MAX + 100


@pytest.mark.parametrize(
    ("document", "errors"),
    [
        ({"errors": [{"member": "arch", "message": "no"}]}, [("arch", "no")]),
        ({"errors": [{"message": 3}, {"member": "x"}, "y", None]}, [("", "3")]),
        ({"errors": {"message": "no"}}, []),
        ({}, []),
        (None, []),
        ("errors", []),
    ],
)
def test_what_a_node_says_of_its_errors_is_taken_with_care(document: object, errors: Any) -> None:
    assert errors_of(document) == errors
