"""`/` and what is not the admin's."""

from __future__ import annotations

from django.urls import path

from vct.controller.topology.views import NetworkView
from vct.controller.web import views

app_name = "web"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("map/", views.map_page, name="map"),
    path("map/network.json", NetworkView.as_view(), name="network"),
]
