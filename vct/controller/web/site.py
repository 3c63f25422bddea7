"""The site that all pages belong to: its names, and its log in with a limit on failures."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.template.response import TemplateResponse

from vct.controller.audit.models import record
from vct.controller.policy import Action
from vct.controller.rest.throttles import WINDOW_S, may_log_in
from vct.controller.users.models import User
from vct.controller.web.base import address_of

SECTIONS = {
    "nodes": "Nodes",
    "slices": "Slices",
    "users": "Users",
    "mgmt": "Management network",
    "files": "Files",
    "firmware": "Firmware",
    "pki": "Certificates",
    "audit": "Audit log",
}


class LogInForm(AdminAuthenticationForm):
    """Who failed too often waits, whatever the password is. Also by e-mail address."""

    def clean(self) -> dict[str, object]:
        name = str(self.cleaned_data.get("username", ""))
        if self.request is not None and not may_log_in(self.request, name):
            words = f"Too many attempts failed. Wait {WINDOW_S} seconds, then try again."
            raise ValidationError(words, code="too_many")
        return super().clean()


class Site(AdminSite):
    """The admin's site with the testbed's name."""

    site_title = "Virtual CONFINE Testbed"
    index_title = "Registry"
    site_url = "/"
    site_header = f"Testbed {settings.CONFIG.testbed}"
    login_form = LogInForm

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """One's own. Set by the old one, it is a change as any other."""
        with transaction.atomic():
            answer = super().password_change(request, extra_context)
            if request.method == "POST" and answer.status_code == 302:
                user = cast(User, request.user)
                told = {"password": ""}
                record(user, Action.CHANGE_AUTH, user, told, address=address_of(request))
        return answer

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """In the order of how often people need them, by words instead of module names."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["name"] = SECTIONS.get(app["app_label"], app["name"])
        order = list(SECTIONS)
        return sorted(
            apps, key=lambda app: order.index(app["app_label"]) if app["app_label"] in order else 99
        )
