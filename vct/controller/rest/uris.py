"""Where objects are, as absolute URIs in the dialect of a request, and their link relations.

Both dialects have the same paths below their base: `nodes/2/`, `nodes/2/ctl/reboot/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse

from vct.wire.relations import Dialect, Function, Resource, list_relation, relation

PLURALS: dict[Resource, str] = {
    resource: f"{resource}s" for resource in Resource if resource is not Resource.BASE
}
# what the registry (or server) defines; all other functions are the controller's
OF_THE_REGISTRY = {Function.REBOOT, Function.RENEW, Function.RESET, Function.UPDATE}
Links = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uris:
    """`base` and `media` are absolute and end with a slash; `site` is the scheme and host."""

    site: str
    base: str
    dialect: Dialect
    with_ids: bool = True  # references say the id beside the URI

    def list_of(self, resource: Resource) -> str:
        return f"{self.base}{PLURALS[resource]}/"

    def of(self, resource: Resource, number: object) -> str:
        return f"{self.base}{PLURALS[resource]}/{number}/"

    def function(self, resource: Resource, number: object, function: Function) -> str:
        return f"{self.of(resource, number)}{function.path}"

    def media(self, path: str) -> str:
        """An uploaded file's; spaces and commas are quoted."""
        return f"{self.site}{settings.MEDIA_URL}{quote(path)}"

    def reference(
        self, resource: Resource, number: object, shown: object = None
    ) -> dict[str, object]:
        """`{"uri", "id"}`; `shown` is the id when that is not the number in the URI."""
        uri = self.of(resource, number)
        if not self.with_ids:
            return {"uri": uri}
        return {"uri": uri, "id": number if shown is None else shown}

    def links_of_base(self, resources: Iterable[Resource]) -> Links:
        return [
            (relation(self.dialect, Resource.BASE), self.base),
            (
                relation(Dialect.CONTROLLER, Function.GET_AUTH_TOKEN),
                f"{self.site}{reverse('api-token-auth')}",
            ),
            *((self._list_relation(resource), self.list_of(resource)) for resource in resources),
        ]

    def links_of_list(self) -> Links:
        """Those of any list and object; pages have more."""
        return [
            (relation(self.dialect, Resource.BASE), self.base),
            (relation(Dialect.CONTROLLER, Resource.BASE), self.base),
        ]

    def links_of(
        self, resource: Resource, number: object, functions: Iterable[Function] = ()
    ) -> Links:
        return [
            *self.links_of_list(),
            (self._list_relation(resource), self.list_of(resource)),
            *(
                (self._function_relation(function), self.function(resource, number, function))
                for function in functions
            ),
        ]

    def _list_relation(self, resource: Resource) -> str:
        own = resource is Resource.BASEIMAGE
        return list_relation(Dialect.CONTROLLER if own else self.dialect, resource)

    def _function_relation(self, function: Function) -> str:
        own = function not in OF_THE_REGISTRY
        return relation(Dialect.CONTROLLER if own else self.dialect, function)


def uris_of(
    request: HttpRequest, namespace: str, dialect: Dialect, *, with_ids: bool = True
) -> Uris:
    """For the host and scheme that a request was sent to."""
    site = f"{request.scheme}://{request.get_host()}"
    base = f"{site}{reverse(f'{namespace}:base')}"
    return Uris(site=site, base=base, dialect=dialect, with_ids=with_ids)


def number_in(uri: str, resource: Resource) -> int | None:
    """The number of the object that a URI names, None for anything else.

    Only the path counts: clients reach the same controller by several names.
    """
    try:
        found = resolve(unquote(urlsplit(uri).path))
    except (Resolver404, ValueError):
        return None
    if found.url_name != f"{resource}-detail":
        return None
    return int(found.kwargs["pk"])


def media_path_in(uri: str) -> str | None:
    """The path below the media directory if the URI is one that `Uris.media` gives."""
    try:
        path = unquote(urlsplit(uri).path)
    except ValueError:
        return None
    return path.removeprefix(settings.MEDIA_URL) if path.startswith(settings.MEDIA_URL) else None
