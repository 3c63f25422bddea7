"""What all models have in common: each save is checked, and conditional.

`Checked` never writes what its `clean` refuses. `Versioned` counts its changes: who saves an object
that somebody else changed since it was loaded gets ConflictError and nothing is written. Bulk
`update()` of a queryset goes around both; verbs use it for counters, with F expressions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.core.validators import MaxLengthValidator
from django.db import connections, models, router, transaction
from django.db.models import F
from django.utils import timezone

from vct.controller.problems import ConflictError
from vct.wire.limits import PROPERTY_NAME

DESCRIPTION_MAX = 20_000
PROPERTIES_MAX = 100
UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}  # control, invisible, reordering (Unicode categories)
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and marks that show nothing


def check_name(name: str) -> None:
    """Names may be in any script, with any sign that can be seen, and are kept as they are."""
    unseen = [sign for sign in name if unicodedata.category(sign) in UNSEEN or sign in BLANK]
    if unseen:
        raise ValidationError(f"This has a sign that cannot be seen: {unseen[0]!a}.")


def check_properties(properties: object) -> None:
    """An object of name to string; names as CONFINE's: `[a-z][a-z0-9_]*[a-z0-9]`."""
    if not isinstance(properties, dict) or len(properties) > PROPERTIES_MAX:
        raise ValidationError(f"This must be an object with at most {PROPERTIES_MAX} members.")
    for name, value in properties.items():
        if not PROPERTY_NAME.fullmatch(name):
            raise ValidationError(
                f"{name!r} is not a property name: at least two lower-case letters, digits and "
                "underscores, a letter first and no underscore last."
            )
        if not isinstance(value, str) or len(value) > DESCRIPTION_MAX or "\0" in value:
            raise ValidationError(f"The value of {name!r} must be a string.")


class Checked(models.Model):
    """Checked by `full_clean` at every save. Raises ValidationError, as forms do."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.full_clean()
        super().save(*args, **kwargs)

    def full_clean(self, *args: Any, **kwargs: Any) -> None:
        """Blanks around a name are not part of it; an accent is one whatever it is made of."""
        if isinstance(name := self.__dict__.get("name"), str):
            self.__dict__["name"] = unicodedata.normalize("NFC", name.strip())
        super().full_clean(*args, **kwargs)


class Versioned(Checked):
    """Saved only if nobody else saved it since it was loaded."""

    version = models.PositiveIntegerField(default=0, editable=False)
    made_on = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ConflictError if the row has another version or is gone."""
        if self._state.adding:
            kwargs["force_insert"] = True  # never an update of a row that has the same id already
            super().save(*args, **kwargs)
            return
        self.full_clean()
        if (fields := kwargs.get("update_fields")) is not None:
            kwargs["update_fields"] = {*fields, "version"}
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with ExitStack() as undo, transaction.atomic(using=using):
            undo.callback(setattr, self, "version", self.version)
            self._claim(using)
            self.version += 1
            super(Checked, self).save(*args, **kwargs)  # checked above, before the row was held
            undo.pop_all()

    def _claim(self, using: str) -> None:
        """One conditional UPDATE, whose row count says who came first; it holds the row."""
        rows = type(self)._base_manager.using(using).filter(pk=self.pk, version=self.version)
        if not rows.update(version=F("version") + 1):
            raise ConflictError(
                f"{self} was changed by somebody else meanwhile",
                hint="read it again and repeat your change",
            )

    def change(self, **values: Any) -> Self:
        """Sets fields and saves; the object itself for more."""
        for name, value in values.items():
            setattr(self, name, value)
        self.save()
        return self


class Remembering(models.Model):
    """Remembers what some fields were when it was loaded: rules about changes need both."""

    remembered: Collection[str] = ()

    class Meta:
        abstract = True

    def was(self, field: str) -> Any:
        """The stored value; None for what is not stored yet."""
        return self.__dict__.get("_stored", {}).get(field)

    def remember(self) -> None:
        """Called when what is in memory is what is stored."""
        self.__dict__["_stored"] = {
            name: self.__dict__[name] for name in self.remembered if name in self.__dict__
        }

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        **how: Any,
    ) -> Self:
        loaded = super().from_db(db, field_names, values, **how)
        loaded.remember()
        return loaded

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        self.remember()

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self.remember()

    def check_fixed(self, *fields: str) -> None:
        """Raises ValidationError if one of these fields differs from what is stored."""
        if self._state.adding:
            return
        changed = [name for name in fields if self.was(name) != getattr(self, name)]
        if changed:
            words = "This is fixed once the object is made."
            raise ValidationError({name.removesuffix("_id"): words for name in changed})


class Described(Versioned):
    """With a description for people."""

    description = models.TextField(
        blank=True, default="", validators=[MaxLengthValidator(DESCRIPTION_MAX)]
    )

    class Meta:
        abstract = True


def properties_field() -> models.JSONField[dict[str, str], dict[str, str]]:
    """What users note about an object: name to string."""
    field = models.JSONField(blank=True, default=dict, validators=[check_properties])
    field.empty_values = [{}]  # Django would let [] and "" pass for nothing, unchecked
    return field


def keep_sequence(model: type[models.Model], using: str = "default") -> None:
    """After a row got an id of our choice: PostgreSQL would give the same id out again."""
    connection = connections[using]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(statement)


class Guard(models.CheckConstraint):
    """Checked by the database alone, which has the last word.

    What it says the model's fields and `clean` say before, in better words and without asking the
    database for each one. In migrations it is what it is there: a CheckConstraint.
    """

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Django asks this before a save."""

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        _, args, kwargs = super().deconstruct()
        return "django.db.models.CheckConstraint", args, kwargs


def one_of(field: str, values: Iterable[str], model: str) -> Guard:
    """The database refuses any other value; NULL passes."""
    condition = models.Q(**{f"{field}__in": [str(value) for value in values]})
    return Guard(condition=condition, name=f"{model}_{field}_known")
