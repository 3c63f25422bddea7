"""Puts our site in the place of the admin's own."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps


class PagesConfig(AppConfig):
    """Templates and static files. Listed before the admin, whose templates it extends."""

    name = "vct.controller.web"
    default = True


class SiteConfig(apps.AdminConfig):
    """Instead of `django.contrib.admin`."""

    default_site = "vct.controller.web.site.Site"
    default = False

    def ready(self) -> None:
        """Django's own groups are nobody's here: groups are those of `users`."""
        super().ready()
        from django.contrib.admin import site
        from django.contrib.auth.models import Group

        site.unregister(Group)
