"""The slow tests have the same controller for tests as the others: database, media, home."""

from tests.controller.conftest import (
    _media,
    django_db_modify_db_settings,
    pytest_unconfigure,
)

__all__ = ["_media", "django_db_modify_db_settings", "pytest_unconfigure"]
