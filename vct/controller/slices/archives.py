"""The rule of every archive: an external URI with its digest, or an uploaded file."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db.models import Model, Q

from vct.controller.base import Guard

uri_of_archive = URLValidator(schemes=("http", "https", "ftp"))


def archive_constraint(archive: str, model: str) -> Guard:
    """Not both a URI and a file; a digest only of something, and always of a file."""
    uri, sha, file = f"{archive}_uri", f"{archive}_sha256", f"{archive}_file"
    nothing = Q(**{f"{uri}__isnull": True, f"{sha}__isnull": True, f"{file}__isnull": True})
    external = Q(**{f"{uri}__isnull": False, f"{file}__isnull": True})
    uploaded = Q(**{f"{uri}__isnull": True, f"{sha}__isnull": False, f"{file}__isnull": False})
    return Guard(condition=nothing | external | uploaded, name=f"{model}_{archive}_is_uri_or_file")


def check_archive(thing: Model, archive: str, *, needs_digest: bool) -> None:
    """An external archive is used only with its digest: nodes check what they fetch.

    Raises ValidationError on `<archive>_uri` or `<archive>_sha256`.
    """
    parts = ("uri", "sha256", "file_id")
    uri, sha256, file = (getattr(thing, f"{archive}_{part}") for part in parts)
    if uri and file:
        raise ValidationError({f"{archive}_uri": "There is an uploaded file."})
    if sha256 and not (uri or file):
        raise ValidationError({f"{archive}_sha256": "This is the digest of nothing."})
    if not sha256 and (file or (uri and needs_digest)):
        raise ValidationError({f"{archive}_sha256": "This is needed with a URI."})
