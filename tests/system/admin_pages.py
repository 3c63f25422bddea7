"""The controller's admin pages over HTTP, as a browser uses them: log in, fill in forms."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

from tests.controller.pages import fields_of


class AdminPages:
    """A browser in which somebody is logged in; `url` ends with a slash."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))
        page = self.submit("admin/login/", username=username, password=password)
        assert "Log out" in page, page

    def submit(self, path: str, **changes: str) -> str:
        """Fills in the form of a page and sends it; the page that this leads to."""
        with self._opener.open(self._url + path, timeout=60) as answer:
            told: dict[str, Any] = fields_of(answer.read().decode())
        sent = urlencode({**told, **changes}, doseq=True).encode()
        with self._opener.open(self._url + path, sent, timeout=60) as answer:
            return str(answer.read().decode())
