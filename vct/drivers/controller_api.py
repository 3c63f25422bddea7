"""Asks a controller over HTTP: its health, and its REST API with a token.

From the host, by the testbed's uplink. No proxy is ever asked: the address is this host's own.
Decides nothing; called by vct.verbs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vct.errors import VctError

TIMEOUT_S = 20.0
UPLOAD_TIMEOUT_S = 300.0
BLOCK = 1 << 20


class ControllerError(VctError):
    """The controller did not answer, or not as it was asked to. `status` 0: no answer at all."""

    def __init__(self, what: str, said: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(f"{what}: {said}", hint=hint or "look at it: vct controller log")
        self.status = status

    def details(self) -> dict[str, object]:
        return {"status": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status code, what the JSON in the body says (None without), and the headers."""

    status: int
    document: Any
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A controller at `base`, such as `http://10.240.1.2/`; `token` may be empty."""

    base: str
    token: str = ""
    timeout_s: float = TIMEOUT_S

    def get(self, uri: str) -> Any:
        """What is there. `uri` is absolute, or a path."""
        return self._good("GET", uri)

    def send(self, method: str, uri: str, document: Any = None) -> Any:
        """POST, PUT or PATCH a document. Raises ControllerError with what was refused."""
        return self._good(method, uri, document)

    def upload(self, uri: str, file: Path, name: str) -> Any:
        """POST a file, as a form with one field; it is read as it is sent."""
        mark = f"vct{secrets.token_hex(16)}"
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{mark}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={mark}",
            "Content-Length": str(len(head) + file.stat().st_size + len(tail)),
        }
        body = _parts(head, file, tail)
        answer = self.ask("POST", uri, body, headers, timeout_s=UPLOAD_TIMEOUT_S)
        return _checked(f"upload of {name}", answer)

    def ask(
        self,
        method: str,
        uri: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request, whatever comes of it. Raises ControllerError without an answer."""
        place, asked = urlsplit(self.base), urlsplit(uri)
        path = asked.path + (f"?{asked.query}" if asked.query else "")
        told = {"Accept": "application/json", **(headers or {})}
        if self.token:
            told["Authorization"] = f"Token {self.token}"
        connection = HTTPConnection(
            place.hostname or "", place.port, timeout=timeout_s or self.timeout_s
        )
        try:
            connection.request(method, path, body=body, headers=told)
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            raise ControllerError(
                f"{method} {self.base.rstrip('/')}{path}", str(error) or type(error).__name__
            ) from error
        finally:
            connection.close()
        headers = dict(response.getheaders())
        return Answer(status=response.status, document=_json(content), headers=headers)

    def _good(self, method: str, uri: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self.ask(method, uri, body, headers)
        return _checked(f"{method} {urlsplit(uri).path}", answer)


def health(base: str, timeout_s: float = 2.0) -> str:
    """Empty when the controller says that it can do its work, else what was seen."""
    try:
        answer = Api(base=base, timeout_s=timeout_s).ask("GET", "/health/")
    except ControllerError as error:
        return error.message.rpartition(": ")[2]
    if answer.status == 200:
        return ""
    detail = answer.document.get("detail") if isinstance(answer.document, dict) else ""
    return f"HTTP {answer.status}" + (f": {detail}" if detail else "")


def _parts(head: bytes, file: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block
    yield tail


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None


def _checked(what: str, answer: Answer) -> Any:
    if answer.status in (200, 201, 202, 204):
        return answer.document
    said = json.dumps(answer.document, ensure_ascii=False) if answer.document else "no reason given"
    raise ControllerError(what, f"HTTP {answer.status}: {said[:500]}", status=answer.status)
