"""Participants and visits without a name or a calendar date; source identifiers, sealed, in the vault's own database."""

from __future__ import annotations

import uuid

from django.core.validators import RegexValidator
from django.db import models

from registry.accounts.models import Dataset, Site
from registry.facts import Fact

CODE = RegexValidator(r"^[a-z2-7]{26}$", "A code of 26 characters.")
LABEL = RegexValidator(r"^[a-z0-9]{1,32}$", "Small letters and digits.")
DAY_CODE = RegexValidator(r"^[a-z2-7]{26}$", "A day code of 26 characters.")
PURPOSE = RegexValidator(r"^[a-z][a-z0-9_]{0,31}$", "Small letters, digits and underlines.")
BANDS = [f"{year}-{year + 4}" for year in range(1900, 2100, 5)]


def random_key() -> str:
    """32 hexadecimal digits that say nothing."""
    return uuid.uuid4().hex


class Participant(Fact):
    """One person in one dataset. `code` comes from the site's identifier under the dataset's code key; `label` is random and is what leaves the house.

    `key` is random and names their folder in the store. `link` leads to the vault and is None once the person is forgotten. `epoch` grows with every change
    of what may be done with their data: whoever remembered an older epoch asks again.
    """

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="participants")
    site = models.ForeignKey(Site, models.PROTECT, related_name="participants")
    code = models.CharField(max_length=26, validators=[CODE])
    label = models.CharField(max_length=32, validators=[LABEL])
    sex = models.CharField(max_length=1, choices=[("F", "female"), ("M", "male"), ("O", "other"), ("", "not said")], blank=True)
    birth_year_band = models.CharField(max_length=9, blank=True, choices=[(band, band) for band in BANDS])
    state = models.CharField(max_length=10, choices=[("active", "takes part"), ("withdrawn", "has left")], default="active")
    epoch = models.PositiveIntegerField(default=0)
    key = models.CharField(max_length=32, unique=True, default=random_key, editable=False)
    link = models.UUIDField(null=True, blank=True, unique=True, default=uuid.uuid4)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "code"], name="one_participant_per_code"),
            models.UniqueConstraint(fields=["dataset", "label"], name="one_participant_per_label"),
            models.CheckConstraint(condition=models.Q(state__in=["active", "withdrawn"]), name="participant_state_known"),
            models.CheckConstraint(condition=models.Q(sex__in=["", "F", "M", "O"]), name="participant_sex_known"),
        ]

    def __str__(self) -> str:
        return self.label


class Visit(Fact):
    """One visit: `day` counts from the participant's first registered visit (which is day 0); the calendar date is nowhere, only its keyed code.

    `purpose`: a word of the dataset's protocol profile (diagnosis, monitoring, ...), empty where nobody said.
    """

    participant = models.ForeignKey(Participant, models.CASCADE, related_name="visits")
    label = models.CharField(max_length=32, validators=[LABEL])
    day = models.IntegerField(null=True, blank=True)
    day_code = models.CharField(max_length=26, validators=[DAY_CODE])
    purpose = models.CharField(max_length=32, blank=True, validators=[PURPOSE])

    class Meta:
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "label"], name="one_visit_per_label"),
            models.UniqueConstraint(fields=["participant", "day_code"], name="one_visit_per_day"),
        ]

    def __str__(self) -> str:
        return self.label


class SourceIdentifier(models.Model):
    """Who a participant is to their site, sealed under a key file of their own (`registry.subjects.vault`). Lives in the vault's database.

    `person` is a keyed hash of the identifier: with the vault's key, and only so, one person's participations in two datasets can be found.
    `leaving`: they asked to leave wherever they take part; what is not carried through yet is found here, for the registry does not know that they are one.
    """

    link = models.UUIDField(primary_key=True)
    sealed = models.BinaryField()
    person = models.CharField(max_length=64, db_index=True)
    leaving = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
