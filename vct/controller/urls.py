"""Where things are. Each part of the controller has its own table, included here by one line."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from vct.controller.api.views.users import AuthToken
from vct.controller.health import health
from vct.controller.rest.downloads import Firmware, media

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/", health),
    path("admin/", admin.site.urls),
    path("api/v0/", include("vct.controller.api_v0.urls")),
    path("api/", include("vct.controller.api.urls")),
    path("api-token-auth/", AuthToken.as_view(), name="api-token-auth"),
    path("media/<path:path>", media),
    path("private/firmware/build/image/<int:node>/<path:name>", Firmware.as_view()),
    path("", include("vct.controller.web.urls")),
]

handler404 = "vct.controller.rest.problems.not_found"
