"""Where v1 is: below /api/, with the token outside of it as in the original."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.decorators.cache import cache_page
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from vct.controller.api.views.base import Base
from vct.controller.api.views.firmware import BaseImages
from vct.controller.api.views.nodes import Hosts, Islands, Nodes, Servers
from vct.controller.api.views.slices import Slices, Slivers, Templates
from vct.controller.api.views.users import Groups, Users
from vct.controller.rest.uris import PLURALS
from vct.controller.rest.views import Things

app_name = "api"
KEPT_S = 3600  # it takes a third of a second to make, and changes with the program only

THINGS: tuple[type[Things], ...] = (
    Servers,
    Nodes,
    Islands,
    Hosts,
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

urlpatterns: list[URLPattern | URLResolver] = [
    path("", Base.as_view(), name="base"),
    path("schema/", cache_page(KEPT_S)(SpectacularAPIView.as_view()), name="schema"),
    *router.urls,
]
