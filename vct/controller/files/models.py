"""What is known of an uploaded file. The file itself is put and read by `store`."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from vct.controller.base import Checked, one_of
from vct.wire.limits import SHA256

sha256_digits = RegexValidator(rf"\A{SHA256.pattern}\Z", "SHA-256 is 64 lower-case hex digits.")


class FileKind(models.TextChoices):
    """The directories that uploads go to, by their names in URLs."""

    TEMPLATE = "templates"
    DATA = "exp_data"
    OVERLAY = "overlay"


class StoredFile(Checked):
    """A file below the media directory, never changed once it is there."""

    kind = models.CharField(max_length=16, choices=FileKind.choices)
    path = models.CharField(max_length=255, unique=True)  # below the media directory
    sha256 = models.CharField(max_length=64, validators=[sha256_digits])
    size = models.PositiveBigIntegerField()  # octets
    made_on = models.DateTimeField(default=timezone.now, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, default=None
    )

    class Meta:
        ordering = ("id",)
        constraints = (one_of("kind", FileKind.values, "stored_file"),)

    def __str__(self) -> str:
        return self.path
