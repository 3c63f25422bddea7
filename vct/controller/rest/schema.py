"""Completes the generated OpenAPI document: how every operation refuses."""

from __future__ import annotations

from typing import Any

REFUSAL = {
    "type": "object",
    "description": "`detail`, or texts by the name of the member that they are about.",
    "additionalProperties": {},
}
RESPONSES = {
    "4XX": "Refused; nothing was changed.",
    "503": "The database does not answer now; nothing was changed.",
    "507": "The disk is full; nothing was changed.",
}


def with_refusals(result: dict[str, Any], **_more: object) -> dict[str, Any]:
    """A hook of drf-spectacular: called with the whole document."""
    result["components"].setdefault("schemas", {})["Refusal"] = REFUSAL
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    for path in result["paths"].values():
        for operation in path.values():
            for status, words in RESPONSES.items():
                operation["responses"].setdefault(
                    status, {"description": words, "content": content}
                )
    return result
