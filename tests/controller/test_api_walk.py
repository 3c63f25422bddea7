"""A client that knows only the address of the base resource and the link relations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controller.caller import Caller, links
from tests.controller.factories import PASSWORD, SHA256, a_user

pytestmark = pytest.mark.django_db
REGISTRY, CONTROLLER = (
    f"http://confine-project.eu/rel/{word}/" for word in ("registry", "controller")
)


class Walker:
    """Finds everything by links; `base` is all it is told."""

    def __init__(self, base: str) -> None:
        self.caller, self.token = Caller(), ""
        self.base = links(self.get(base))

    def get(self, uri: str) -> Any:
        answer = self.caller.get(uri, **self.headers())
        assert answer.status_code == 200, answer.content
        return answer

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Token {self.token}"} if self.token else {}

    def post(self, uri: str, data: Any = None) -> Any:
        answer = self.caller.post(uri, data, **self.headers())
        assert answer.status_code in (200, 201, 202), answer.content
        return answer

    def log_in(self, name: str, password: str) -> None:
        uri = self.base[CONTROLLER + "do-get-auth-token"]
        self.token = self.post(uri, {"username": name, "password": password}).json()["token"]

    def create(self, word: str, **members: Any) -> Any:
        """Makes it, and reads it back from where the answer says it is."""
        answer = self.post(self.base[f"{REGISTRY}{word}-list"], members)
        shown = self.get(answer.headers["Location"])
        assert shown.json() == answer.json()
        listed = self.get(links(shown)[f"{REGISTRY}{word}-list"]).json()
        assert shown.json() in listed
        return shown

    def do(self, shown: Any, function: str, data: Any = None) -> Any:
        return self.post(links(shown)[function], data).json()


def to(shown: Any) -> dict[str, str]:
    return {"uri": shown.json()["uri"]}


def test_it_works() -> None:
    a_user("Sue", is_superuser=True)
    walker = Walker("http://testserver/api/")
    walker.log_in("sue", PASSWORD)
    user = walker.create("user", name="Rita")
    role = {"user": to(user), "is_slice_admin": True, "is_node_admin": True}
    group = walker.create(
        "group", name="testers", allow_nodes=True, allow_slices=True, user_roles=[role]
    )
    native = {"backend": "native"}
    api = {"base_uri": "http://[fd65::2]/confine/api/"}
    node = walker.create(
        "node", name="roof", arch="i686", group=to(group), mgmt_net=native, api=api
    )
    image = {"image_uri": "http://t.example/t.tgz", "image_sha256": SHA256}
    template = walker.create("template", name="t", type="debian", node_archs=["i686"], **image)
    defaults = {"template": to(template)}
    slice_ = walker.create("slice", name="s", group=to(group), sliver_defaults=defaults)
    private = {"nr": 0, "name": "priv", "type": "private"}
    sliver = walker.create("sliver", slice=to(slice_), node=to(node), interfaces=[private])

    password = {"username": "rita", "password": PASSWORD}
    walker.do(user, CONTROLLER + "do-change-auth", password)
    walker.log_in("rita", PASSWORD)
    walker.do(sliver, REGISTRY + "do-update")
    walker.do(slice_, REGISTRY + "do-reset")
    walker.do(node, REGISTRY + "do-reboot")
    assert walker.get(node.json()["uri"]).json()["boot_sn"] == 1
    assert walker.get(slice_.json()["uri"]).json()["slivers"][0]["uri"] == sliver.json()["uri"]
    assert walker.get(links(sliver)[CONTROLLER + "state"]).json()["current"] == "nodata"


def test_every_link_leads_somewhere() -> None:
    test_it_works()
    walker = Walker("http://testserver/api/")
    seen: set[str] = set()
    waiting = list(walker.base.values())
    while waiting:
        uri = waiting.pop()
        if uri in seen:
            continue
        seen.add(uri)
        answer = walker.caller.get(uri)
        empty = uri.endswith(("/ctl/vm/", "/ctl/firmware/"))
        assert answer.status_code in ((404,) if empty else (200, 405)), uri
        if answer.status_code == 200:
            waiting += links(answer).values() if "Link" in answer.headers else []
            listed = answer.json() if isinstance(answer.json(), list) else []
            waiting += [one["uri"] for one in listed]
    assert len(seen) > 30
