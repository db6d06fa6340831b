"""Who is counted in a dataset at present, what was told of them, who has asked what; and questions that people keep."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.accounts.models import Dataset
from registry.facts import Fact


class Edition(Fact):
    """The people who are counted, until one of them leaves or enough others join: then the next edition begins, drawn anew, and what was told is forgotten.

    `members`: ids of the people counted, in the order of the groups' bits; `left_out`: of those drawn by lot not to be.
    """

    dataset = models.OneToOneField(Dataset, models.CASCADE, related_name="edition")
    number = models.PositiveIntegerField(default=0)
    began_at = models.DateTimeField(null=True)
    members = models.JSONField(default=list)
    left_out = models.JSONField(default=list)


class Told(models.Model):
    """The answer to one question in this edition. `people`: the group's bits where the answer is its own; a group that shares another's keeps none."""

    edition = models.ForeignKey(Edition, models.CASCADE, related_name="told")
    question = models.CharField(max_length=400)
    people = models.BinaryField(null=True)
    size = models.PositiveIntegerField(null=True)
    count = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["edition", "question"], name="told_once")]
        indexes = [models.Index(fields=["edition", "size"])]


class Asked(models.Model):
    """That an institution asked a question of a dataset, in which edition, and on which day for the first time."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="+")
    institution = models.CharField(max_length=200)
    question = models.CharField(max_length=400)
    edition = models.PositiveIntegerField()
    day = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "institution", "edition", "question"], name="asked_once")]
        indexes = [models.Index(fields=["dataset", "institution", "day"])]


class SavedCohort(Fact):
    """A question with a name: never its people, who are found anew each time. `link`: opens it to whoever is signed in and has it; empty: nobody."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="+")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="cohorts")
    name = models.CharField(max_length=120)
    where = models.JSONField(default=list, blank=True)
    link = models.CharField(max_length=43, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "dataset", "name"], name="one_cohort_of_a_name"),
            models.UniqueConstraint(fields=["link"], condition=~models.Q(link=""), name="one_cohort_per_link"),
        ]

    def __str__(self) -> str:
        return self.name


class CohortShare(Fact):
    """That the account with this address may read a cohort. An address and no account: whether there is one is not told to who shares."""

    cohort = models.ForeignKey(SavedCohort, models.CASCADE, related_name="shares")
    email = models.EmailField()

    class Meta:
        ordering = ["email"]
        constraints = [models.UniqueConstraint(fields=["cohort", "email"], name="shared_once")]
