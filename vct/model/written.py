"""The testbed file as users write it (DESIGN section 8): keys, types, units, value by value.

What values mean together is `vct.model.resolve`'s. The JSON Schema for editors is made from these.
A key that is not given is not in `model_fields_set`; its default here is only a place holder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from vct import names
from vct.errors import UsageError
from vct.model.units import RATE, SHARE, SIZE, TIME, Quantity, WrongValue, parser, shorten

IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
JSON_EXPONENT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?[0-9]+")
LINK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


def _hide_place_holders(schema: dict[str, Any]) -> None:
    for value in schema.get("properties", {}).values():
        value.pop("default", None)
        value.pop("title", None)


class Written(BaseModel):
    """What all parts of the file have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_hide_place_holders)


def _quantity(quantity: Quantity) -> tuple[BeforeValidator, WithJsonSchema]:
    schema = {
        "type": "string",
        "pattern": f"^{quantity.pattern}$",
        "examples": list(quantity.examples),
    }
    return BeforeValidator(parser(quantity)), WithJsonSchema(schema)


def _named(check: Callable[[str], str]) -> AfterValidator:
    def checked(text: str) -> str:
        try:
            return check(text)
        except UsageError as error:
            raise WrongValue(error.message, hint=error.hint) from None

    return AfterValidator(checked)


def _matching(pattern: re.Pattern[str], noun: str, hint: str) -> AfterValidator:
    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            raise WrongValue(f"{shorten(text)!r} is not {noun}", hint=hint)
        return text

    return AfterValidator(checked)


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _json_number(value: object) -> object:
    """`1e-05` is a number to JSON and to YAML 1.2, but text to PyYAML, whose YAML is 1.1."""
    if isinstance(value, str) and JSON_EXPONENT.fullmatch(value):
        return float(value)
    return value


def _earth(position: list[float]) -> list[float]:
    latitude, longitude = position
    if not -90 <= latitude <= 90:
        raise WrongValue(f"latitude {latitude:g} is not on Earth", hint="latitudes are -90 to 90")
    if not -180 <= longitude <= 180:
        raise WrongValue(
            f"longitude {longitude:g} is not on Earth", hint="longitudes are -180 to 180"
        )
    return position


def _no_slices(value: object) -> object:
    if value:
        raise WrongValue(
            "slices come with a later version of vct", hint="leave them out, or write slices: []"
        )
    return value


TestbedName = Annotated[
    str, _named(names.check_testbed_name), _text(f"^{names.TESTBED_NAME.pattern}$", "ring")
]
NodeId = Annotated[
    str, _named(names.check_node_id), _text("^(?!0000|fff[1-9a-f])[0-9a-f]{4}$", "0001")
]
ImageName = Annotated[
    str,
    _matching(IMAGE_NAME, "an image name", "use lower-case letters, digits, dot, dash, underscore"),
    _text(f"^{IMAGE_NAME.pattern}$", "node-debian"),
]
LinkName = Annotated[
    str,
    _matching(LINK_NAME, "a link name", "use up to 32 lower-case letters, digits, dots, dashes, _"),
    _text(f"^{LINK_NAME.pattern}$", "0001-0002", "backbone"),
]
SegmentName = Annotated[
    str,
    _matching(
        names.SEGMENT_NAME, "a segment name", "use up to 11 lower-case letters, digits and dashes"
    ),
    _text(f"^{names.SEGMENT_NAME.pattern}$", "roof"),
]
Time = Annotated[int, *_quantity(TIME)]
Share = Annotated[int, *_quantity(SHARE)]
Rate = Annotated[int, *_quantity(RATE)]
Size = Annotated[int, *_quantity(SIZE)]
Degrees = Annotated[float, BeforeValidator(_json_number), Field(strict=True, allow_inf_nan=False)]
Position = Annotated[list[Degrees], Field(min_length=2, max_length=2), AfterValidator(_earth)]


class WrittenNodeDefaults(Written):
    """What holds for every node that does not say otherwise."""

    image: ImageName = Field(default="", description="Image to run; node-debian by default.")
    arch: Literal["amd64", "i386"] = Field(
        default="amd64", description="Architecture; amd64 by default."
    )
    memory: Size = Field(default=0, description="Memory limit, at least 16MiB; 256MiB by default.")
    disk: Size = Field(
        default=0, description="Size of the writable layer, at least 16MiB; 512MiB by default."
    )
    boot: Literal["fast", "full"] = Field(
        default="fast",
        description="fast: one short script; full: all boot scripts of the distribution.",
    )


class WrittenNode(WrittenNodeDefaults):
    """A research device."""

    position: Position = Field(
        default=[], description="Latitude and longitude in degrees.", examples=[[41.389, 2.112]]
    )
    gateway: NodeId = Field(
        default="",
        description="The node, one of management: gateways, by which it is in the mesh.",
        examples=["0003"],
    )


class WrittenController(Written):
    """The controller: registry of nodes, slices and users, with a REST API and web pages."""

    image: ImageName = Field(default="", description="Image to run; controller by default.")
    arch: Literal["amd64", "i386"] = Field(
        default="amd64", description="Architecture; amd64 by default."
    )
    memory: Size = Field(default=0, description="Memory limit, at least 16MiB; 256MiB by default.")
    disk: Size = Field(default=0, description="Room for its data, at least 16MiB; 1GiB by default.")
    templates: list[ImageName] = Field(
        default=[],
        description="Sliver templates to register; sliver-debian by default, if it is built.",
        examples=[["sliver-debian"]],
    )


class WrittenManagement(Written):
    """How the controller reaches the nodes; only a testbed with a controller has it."""

    backend: Literal["tinc", "native"] = Field(
        default="tinc",
        description="tinc: a mesh of its own; native: addresses on the local network. tinc by "
        "default.",
    )
    gateways: list[NodeId] = Field(
        default=[],
        description="Nodes by which others (gateway: ...) are in the mesh.",
        examples=[["0003"]],
    )


class WrittenDefaults(Written):
    """Defaults for this testbed."""

    node: WrittenNodeDefaults | None = Field(default=None, description="Defaults for nodes.")


class WrittenQuality(Written):
    """What happens to packets of one direction."""

    delay: Time = Field(default=0, description="Delay of every packet, at most 60s.")
    jitter: Time = Field(default=0, description="The delay varies by up to this, either way.")
    loss: Share = Field(default=0, description="Share of the packets that is lost.")
    rate: Rate = Field(default=0, description="Bits per second, at most 100gbit; else no limit.")


class WrittenLink(WrittenQuality):
    """A point-to-point link. Its qualities hold both ways unless a direction overrides them."""

    between: Annotated[list[NodeId], Field(min_length=2, max_length=2)] = Field(
        description="The two nodes; forward is from the first to the second.",
        examples=[["0001", "0002"]],
    )
    name: LinkName = Field(default="", description='"0001-0002" by default.')
    forward: WrittenQuality | None = Field(
        default=None, description="What differs from the first node to the second."
    )
    backward: WrittenQuality | None = Field(
        default=None, description="What differs from the second node to the first."
    )


class WrittenSegment(Written):
    """A layer-2 segment that several nodes share."""

    name: SegmentName = Field(description="Its name.", examples=["roof"])
    members: Annotated[list[NodeId], Field(min_length=2)] = Field(
        description="The nodes on it.", examples=[["0001", "0004"]]
    )


Nodes = Annotated[
    dict[NodeId, WrittenNode | None],
    Field(json_schema_extra={"additionalProperties": False}),
]


class WrittenTestbed(Written):
    """A testbed of vct: research nodes and the links between them."""

    name: TestbedName = Field(
        description="The testbed's name: lower-case letters, digits, dashes.", examples=["ring"]
    )
    defaults: WrittenDefaults | None = Field(default=None, description="Defaults.")
    controller: WrittenController = Field(
        default=WrittenController(), description="The testbed has one if this is here, as {}."
    )
    management: WrittenManagement | None = Field(
        default=None, description="The management network, between controller and nodes."
    )
    nodes: Nodes | None = Field(
        description="Nodes by id: four lower-case hex digits in quotes, 0001 to fff0.",
        examples=[{"0001": {}, "0002": {}}],
    )
    links: list[WrittenLink] | None = Field(default=None, description="Point-to-point links.")
    segments: list[WrittenSegment] | None = Field(default=None, description="Shared segments.")
    slices: Annotated[list[object] | None, BeforeValidator(_no_slices)] = Field(
        default=None,
        description="None in this version.",
        json_schema_extra={"maxItems": 0},
    )
