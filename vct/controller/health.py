"""`/health/`: whether this server can do its work. Asked by vct, by people."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from vct.controller.state import life


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 `{"status": "ok", "worker": "ok"}`; 503 with `detail` when it cannot serve.

    `worker` is `late` or `never` when nobody polls nodes: pages and API work all the same.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (OperationalError, InterfaceError):
        return _bad("the database does not answer")
    if missing:
        return _bad(f"{len(missing)} migrations are missing: python -m vct.controller migrate")
    return JsonResponse({"status": "ok", "worker": life.condition()})


def _bad(detail: str) -> JsonResponse:
    return JsonResponse({"status": "failed", "detail": detail}, status=503)
