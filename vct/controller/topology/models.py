"""The links between nodes as the testbed was made. The controller has no other way to know them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from vct.controller.base import Checked, properties_field
from vct.controller.nodes.models import Node


class Link(Checked):
    """Joins two nodes; there may be several between the same two. Has no direction.

    A segment is a link between each two of its members, with its name as property `segment`.
    """

    source = models.ForeignKey(Node, models.CASCADE, related_name="+")
    target = models.ForeignKey(Node, models.CASCADE, related_name="+")
    properties = properties_field()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        if self.source_id is None or self.target_id is None:
            return "all links"
        return f"{self.source_id:04x} - {self.target_id:04x}"

    def clean(self) -> None:
        if self.source_id is not None and self.source_id == self.target_id:
            raise ValidationError({"target": "A link joins two nodes, not one with itself."})
