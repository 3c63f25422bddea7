"""Base images and the firmware built for nodes. Building is done by `builder`."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.db.models import Q

from vct.controller.base import Guard, Versioned, check_name, one_of
from vct.controller.nodes.models import Node
from vct.controller.slices.models import check_archs


class BaseImage(Versioned):
    """A node image that firmware is made of; one of them is the default."""

    name = models.CharField(max_length=256, unique=True, validators=[check_name])
    architectures = models.JSONField(validators=[check_archs])
    image = models.CharField(max_length=256)  # below the image directory
    is_default = models.BooleanField(default=False)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("is_default",), condition=Q(is_default=True), name="base_image_one_default"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """The default is the one that was last made so."""
        with transaction.atomic():
            if self.is_default:
                BaseImage.objects.exclude(pk=self.pk).update(is_default=False)
            super().save(*args, **kwargs)


class BuildState(models.TextChoices):
    REQUESTED = "REQUESTED"
    QUEUED = "QUEUED"
    BUILDING = "BUILDING"
    AVAILABLE = "AVAILABLE"
    OUTDATED = "OUTDATED"
    DELETED = "DELETED"
    FAILED = "FAILED"


class Build(Versioned):
    """The firmware of one node: asked for, being built, there, or failed."""

    RUNNING = (BuildState.REQUESTED, BuildState.QUEUED, BuildState.BUILDING)

    node = models.OneToOneField(Node, models.CASCADE, related_name="firmware")
    base_image = models.ForeignKey(BaseImage, models.PROTECT, null=True, blank=True, default=None)
    state = models.CharField(
        max_length=16, choices=BuildState.choices, default=BuildState.REQUESTED
    )
    progress = models.PositiveIntegerField(  # percent
        default=0, validators=[MaxValueValidator(100)]
    )
    message = models.TextField(blank=True, default="")
    options = models.JSONField(blank=True, default=dict)  # what was asked for
    path = models.CharField(max_length=256, blank=True, default="")  # below the private directory
    sha256 = models.CharField(max_length=64, blank=True, default="")
    inputs = models.CharField(  # SHA-256 of what it was made of; empty before it is made
        max_length=64, blank=True, default="", editable=False
    )

    class Meta:
        ordering = ("id",)
        constraints = (
            one_of("state", BuildState.values, "build"),
            Guard(condition=Q(progress__lte=100), name="build_progress_percent"),
        )

    def __str__(self) -> str:
        return f"firmware of {self.node}"
