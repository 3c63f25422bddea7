"""Where v0 is: below /api/v0/, with the paths of v1."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from vct.controller.api_v0.views import (
    Base,
    BaseImages,
    Gateways,
    Groups,
    Hosts,
    Islands,
    Nodes,
    Servers,
    Slices,
    Slivers,
    Templates,
    Users,
)
from vct.controller.nodes.models import MAIN_SERVER
from vct.controller.rest.uris import PLURALS
from vct.controller.rest.views import Things

app_name = "api_v0"

THINGS: tuple[type[Things], ...] = (
    Servers,
    Nodes,
    Islands,
    Hosts,
    Gateways,
    Users,
    Groups,
    Slices,
    Slivers,
    Templates,
    BaseImages,
)

router = SimpleRouter(use_regex_path=False)
for things in THINGS:
    router.register(PLURALS[things.resource], things, basename=str(things.resource))

main_server = Servers.as_view({"get": "retrieve", "put": "update", "patch": "partial_update"})

urlpatterns: list[URLPattern | URLResolver] = [
    path("", Base.as_view(), name="base"),
    path("server/", main_server, {"pk": MAIN_SERVER}, name="main-server"),
    *router.urls,
]
