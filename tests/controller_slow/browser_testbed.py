"""The testbed that a browser looks at: four nodes in a ring on a map, slices, names with HTML.

Run in the controller's own process: `from tests.controller_slow.browser_testbed import make`.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from tests.controller.factories import a_group, a_safe_node, a_slice, a_sliver, a_template, a_user
from vct.controller.state import life
from vct.controller.state.models import record
from vct.controller.topology.netjson import set_links
from vct.controller.users.models import Role

NASTY = "<img src=x onerror=alert(1)>'\"&amp;$(id)"
PLACES = {
    "roof of the school": ("41.3890", "2.1120"),
    "water tower": ("41.3921", "2.1177"),
    "library": ("41.3874", "2.1216"),
    NASTY: ("41.3846", "2.1150"),
}
RING = (
    ("0001", "0002", {"delay": "10ms", "loss": "1%"}),
    ("0002", "0003", {"delay": "5ms"}),
    ("0003", "0004", {"rate": "20mbit"}),
    ("0004", "0001", {"segment": "roof"}),
)
STATES = ("production", "production", "safe", "offline")


def make() -> None:
    """Everything, with states that stay fresh for an hour."""
    later = timezone.now() + timedelta(hours=1)
    group = a_group("testers")
    researcher = a_user("Rita")
    Role.objects.create(user=researcher, group=group, is_slice_admin=True)
    template = a_template("debian")
    nodes = []
    for number, (name, (latitude, longitude)) in enumerate(PLACES.items(), 1):
        place = {"latitude": latitude, "longitude": longitude}
        nodes.append(a_safe_node(group, pk=number, name=name, properties=place))
    for node, state in zip(nodes, STATES, strict=True):
        record(node, state, now=later, contact_on=timezone.now())
    slice_ = a_slice(group, name="mesh routing", template=template)
    a_slice(group, name=f"slice {NASTY}", template=template, description=NASTY)
    record(a_sliver(slice_, nodes[0]), "started", now=later)
    links = [{"source": a, "target": b, "properties": about} for a, b, about in RING]
    set_links({"type": "NetworkGraph", "links": links})
    life.beat(later)
