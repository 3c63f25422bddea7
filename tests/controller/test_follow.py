"""How often a node is asked of which something is expected."""

from __future__ import annotations

from vct.controller.state.follow import AT_LEAST, DELAYS_S, Following

NODE = 7


def times(following: Following, state: str, *, set_state: str, now: float = 0.0) -> list[float]:
    """When it is asked, if it stays in this state; on a clock of quarters of a second."""
    asked = []
    while now < 100:
        if following.due(now):
            asked.append(now)
            following.asked(NODE, answered=True, state=state, set_state=set_state, now=now)
        now += 0.25
    return asked


def test_it_works() -> None:
    following = Following()
    following.told(NODE, 0.0)
    asked = times(following, "safe", set_state="production")
    assert asked == [0.25, 0.75, 1.75, 2.75, 3.75, 5.75, 7.75, 11.75, 15.75]


def test_who_does_what_it_was_told_is_asked_no_more() -> None:
    following = Following()
    following.told(NODE, 0.0)
    assert times(following, "safe", set_state="safe") == [0.25, 0.75]
    assert AT_LEAST == 2


def test_who_is_only_wanted_is_asked_once_if_it_is_what_it_is_told_to_be() -> None:
    following = Following()
    following.wanted(NODE, 5.0)
    assert times(following, "safe", set_state="safe") == [5.0]


def test_who_is_being_asked_is_not_due() -> None:
    following = Following()
    following.wanted(NODE, 0.0)
    assert following.due(0.0) == {NODE}
    assert following.due(1000.0) == set()


def test_who_does_not_answer_is_not_followed() -> None:
    following = Following()
    following.wanted(NODE, 0.0)
    following.due(0.0)
    following.asked(NODE, answered=False, state="offline", set_state="safe", now=0.0)
    assert following.due(1000.0) == set()


def test_who_stays_the_same_is_not_followed_again_until_it_is_told_something() -> None:
    following = Following()
    following.wanted(NODE, 0.0)
    assert len(times(following, "debug", set_state="safe")) == len(DELAYS_S) + 1
    following.wanted(NODE, 0.0)
    assert times(following, "debug", set_state="safe") == [0.0]
    following.told(NODE, 0.0)
    assert len(times(following, "debug", set_state="safe")) == len(DELAYS_S)


def test_who_was_only_asked_in_the_usual_round_is_not_followed() -> None:
    following = Following()
    following.asked(NODE, answered=True, state="safe", set_state="production", now=0.0)
    assert following.due(1000.0) == set()
