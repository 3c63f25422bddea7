"""Uses pages as a browser does: fills in the form that was sent, and sends it back."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class _Fields(HTMLParser):
    """The fields of a page's forms, with the values that they were sent with."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.select = self.area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value or "" for name, value in attrs}
        name = about.get("name", "")
        if tag == "select":
            self.select = name
        elif tag == "option" and self.select and "selected" in about:
            self.values[self.select] = about.get("value", "")
        elif tag == "textarea":
            self.area = name
            self.values[name] = ""
        elif tag == "input" and name and about.get("type") not in ("submit", "file"):
            if about.get("type") not in ("checkbox", "radio"):
                self.values[name] = about.get("value", "")
            elif "checked" in about:
                self.values.setdefault(name, []).append(about.get("value", "on"))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self.select = ""
        elif tag == "textarea":
            self.area = ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.values[self.area] += data.removeprefix("\n")


def fields(client: Client, path: str) -> dict[str, Any]:
    """What the page's forms would send if nothing was filled in."""
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.headers)
    return fields_of(answer.content.decode())


def fields_of(page: str) -> dict[str, Any]:
    """The same, of a page's text."""
    parser = _Fields()
    parser.feed(page)
    return parser.values


def submit(client: Client, path: str, told: dict[str, Any], **changes: Any) -> Any:
    """Sends the fields; a value of None leaves one out. The page that this leads to."""
    values = {**told, **changes}
    return client.post(
        path, {name: value for name, value in values.items() if value is not None}, follow=True
    )


def fill(client: Client, path: str, **changes: Any) -> Any:
    """Opens a page, changes fields, sends it."""
    return submit(client, path, fields(client, path), **changes)


def act(client: Client, path: str, action: str, *keys: int, **more: Any) -> Any:
    """Chooses rows of a list and an action for them."""
    told = {"action": action, "_selected_action": [str(key) for key in keys], **more}
    return client.post(path, told, follow=True)


def said(answer: Any) -> list[str]:
    """The messages at the top of the page."""
    return [str(message) for message in answer.context["messages"]]
