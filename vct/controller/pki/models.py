"""The certificates that the testbed's authority has issued."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from vct.controller.nodes.models import Node


class Certificate(models.Model):
    """One issued certificate; the authority's own is not a row."""

    node = models.ForeignKey(
        Node, models.SET_NULL, null=True, blank=True, default=None, related_name="certificates"
    )
    serial = models.CharField(max_length=40, unique=True)  # hexadecimal
    subject = models.CharField(max_length=300)
    pem = models.TextField()
    made_on = models.DateTimeField(default=timezone.now, editable=False)
    ends_on = models.DateTimeField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.subject
