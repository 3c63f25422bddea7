"""A client of the REST API for the tests: JSON in, JSON out, logged in by a token."""

from __future__ import annotations

import json
import re
from typing import Any

from django.test import Client

from vct.controller.users.models import User, issue_token

LINK = re.compile(r'<([^>]*)>; rel="([^"]*)"')
JSON = "application/json"


class Caller:
    """Somebody who calls the API; without a user nobody in particular. Answers are Django's."""

    def __init__(self, user: User | None = None, **environment: Any) -> None:
        headers = {"authorization": f"Token {issue_token(user)}"} if user else {}
        self.client = Client(headers=headers, **environment)

    def get(self, uri: str, **headers: str) -> Any:
        return self.client.get(uri, headers=named(headers))

    def send(self, method: str, uri: str, data: Any = None, **headers: str) -> Any:
        """Without data the body is empty."""
        return self.client.generic(
            method, uri, as_json(data), content_type=JSON, headers=named(headers)
        )

    def post(self, uri: str, data: Any = None, **headers: str) -> Any:
        return self.send("POST", uri, data, **headers)

    def put(self, uri: str, data: Any, **headers: str) -> Any:
        return self.send("PUT", uri, data, **headers)

    def patch(self, uri: str, data: Any, **headers: str) -> Any:
        return self.send("PATCH", uri, data, **headers)

    def delete(self, uri: str, **headers: str) -> Any:
        return self.send("DELETE", uri, **headers)

    def upload(self, uri: str, *files: Any) -> Any:
        """As multipart, each file in a field of its own."""
        return self.client.post(uri, {f"field{number}": file for number, file in enumerate(files)})


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def as_json(data: Any) -> bytes:
    """Octets are sent as they are."""
    if isinstance(data, bytes):
        return data
    return b"" if data is None else json.dumps(data).encode()


def links(answer: Any) -> dict[str, str]:
    """URI by relation, of a Link header on one line."""
    return {rel: uri for uri, rel in LINK.findall(answer.headers["Link"])}


def reference(kind: str, number: int) -> dict[str, str]:
    """What a request says about another object."""
    return {"uri": f"http://testserver/api/{kind}/{number}/"}
