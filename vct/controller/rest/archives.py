"""Archives in requests and answers: `<x>_uri` and `<x>_sha256`, external or uploaded.

An uploaded file is shown by its URL here. Who sends that URL back keeps the file; another URI, or
null, puts it away.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from vct.controller.rest.fields import Text
from vct.controller.rest.uris import Uris, media_path_in


class ArchiveUri(Text):
    """The URI of an archive; the source is `<x>_uri`, beside which `<x>_file` is looked at."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_null=True, max_length=1024, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        name = str(self.source)
        file = getattr(instance, f"{name.removesuffix('_uri')}_file")
        uris: Uris = self.context["uris"]
        return uris.media(file.path) if file else getattr(instance, name)


class Digest(Text):
    """SHA-256, 64 lower-case hex digits, or null."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_null=True, max_length=64, **kwargs)


def archive_values(archive: str, values: dict[str, Any], instance: Any) -> dict[str, Any]:
    """Replaces the members of one archive by the fields of the model.

    Raises ValidationError for a digest that is not the stored file's.
    """
    uri_name, sha_name = f"{archive}_uri", f"{archive}_sha256"
    file = getattr(instance, f"{archive}_file", None)
    if file is not None and _keeps(values, uri_name, file.path):
        values.pop(uri_name, None)
        if values.get(sha_name, file.sha256) != file.sha256:
            raise ValidationError({sha_name: "This is computed from the uploaded file."})
    elif uri_name in values:
        values[f"{archive}_file"] = None
        if file or values[uri_name] != getattr(instance, uri_name, None):
            values.setdefault(sha_name, None)
    return values


def _keeps(values: dict[str, Any], uri_name: str, path: str) -> bool:
    return uri_name not in values or media_path_in(values[uri_name] or "") == path
