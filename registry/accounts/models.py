"""Users, sites, datasets, roles, tokens and agreements; the counters behind every limit."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from registry.facts import Fact

SLUG = RegexValidator(r"^[a-z][a-z0-9-]{0,39}$", "Small letters, digits and hyphens, beginning with a letter, at most 40.")
COUNTRY = RegexValidator(r"^[A-Z]{2}$", "Two capital letters of ISO 3166-1.")


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        """A user; without a password nobody can sign in as them (tokens still work). Raises ValueError without an address."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.strip().lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **extra})

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username or "")


class User(AbstractUser):
    """A person who works with the registry. Signs in by e-mail address; `institution` and `country` decide geographical restrictions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    institution = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=2, blank=True, validators=[COUNTRY])
    sessions_ended = models.PositiveIntegerField(default=0, help_text="how often all sessions of this account were ended at once")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []
    objects = UserManager()  # type: ignore[misc,assignment]

    class Meta(AbstractUser.Meta):  # type: ignore[name-defined,misc]
        constraints = [models.UniqueConstraint(Lower("email"), name="one_user_per_address")]

    def __str__(self) -> str:
        return self.email

    def get_session_auth_hash(self) -> str:
        """What a session must show to go on: it changes with the password, whenever a role of this account has ended, and when its owner ends all others."""
        return f"{super().get_session_auth_hash()}:{self.roles.filter(ended_at__isnull=False).count()}:{self.sessions_ended}"


class Site(Fact):
    """A hospital or centre that hands in. `code` is part of every pseudonym made for it, so it never changes."""

    code = models.CharField(max_length=40, unique=True, validators=[SLUG])
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2, validators=[COUNTRY])

    def __str__(self) -> str:
        return self.code


class Level(models.TextChoices):
    """How a dataset or a view of it is given out, the strictest last (`rules.LEVELS`). Consent is asked of each participant at every level."""

    OPEN = "open", "to anybody signed in whose purpose the consents cover, without a signature"
    REGISTERED = "registered", "to anybody signed in whose purpose the consents cover, who signs the agreement"
    CONTROLLED = "controlled", "on request, decided by a steward"
    RESTRICTED = "restricted", "on request, decided by a steward with a second person, or by votes"
    REMOTE_ONLY = "remote_only", "to be seen and counted, never packaged"
    CLOSED = "closed", "to nobody"


class Voters(models.TextChoices):
    """Who votes on the requests of a dataset that has a quorum."""

    STEWARDS = "steward", "its stewards"
    COMMITTEE = "committee", "its committee"


class Dataset(Fact):
    """A collection with one policy, one pair of keys and its stewards. A participant belongs to exactly one."""

    slug = models.CharField(max_length=40, unique=True, validators=[SLUG])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    sites = models.ManyToManyField(Site, related_name="datasets", blank=True)
    purpose_level = models.CharField(max_length=12, choices=Level.choices, default=Level.CONTROLLED)
    min_count = models.PositiveSmallIntegerField(default=11)
    k = models.PositiveSmallIntegerField(default=5, help_text="a release of which a class is smaller needs two people; 1: none does")
    retention_days = models.PositiveSmallIntegerField(default=30)
    licence = models.CharField(max_length=200, blank=True)
    terms = models.TextField(blank=True)
    citation = models.JSONField(default=dict, blank=True, help_text="creators, publisher, subjects, funding, doi (registry.releases.citing)")
    protocol = models.JSONField(default=dict, blank=True, help_text="a protocol profile of its own, as qa/profiles/*.toml; empty: magnims-2024")
    inclusion = models.JSONField(default=list, blank=True, help_text="ids of the profile's rules that a scan must not break")
    faces = models.JSONField(default=dict, blank=True, help_text="the policy about faces (deid.facepolicy); empty: nothing is exempt, orbits are withheld")
    quorum = models.PositiveSmallIntegerField(default=0, help_text="yes votes of different people that an approval needs; 0: none")
    voters = models.CharField(max_length=12, choices=Voters.choices, default=Voters.STEWARDS)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(min_count__gte=2), name="dataset_min_count_at_least_2"),
            models.CheckConstraint(condition=models.Q(k__range=(1, 1000)), name="dataset_k_1_to_1000"),
            models.CheckConstraint(condition=models.Q(retention_days__range=(1, 365)), name="dataset_retention_1_to_365_days"),
        ]

    def __str__(self) -> str:
        return self.slug


class Agreement(Fact):
    """One version of a dataset's data use agreement. A new version never changes an old one.

    `material`: who signed an older one signs again, within `grace_days`, or gets nothing from then on. Another new version binds who signs from now on.
    """

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="agreements")
    version = models.PositiveSmallIntegerField()
    text = models.TextField()
    material = models.BooleanField(default=False)
    grace_days = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["version"]
        constraints = [models.UniqueConstraint(fields=["dataset", "version"], name="one_agreement_per_version")]


class Kind(models.TextChoices):
    """What a role lets a person do; `registry.rules.ROLE_ACTIONS` says it exactly."""

    CONTRIBUTOR = "contributor", "hands in scans and clinical data of their own site's participants"
    STEWARD = "steward", "looks at scans, accepts them and decides requests"
    RESEARCHER = "researcher", "is known to this dataset as a researcher"
    AUDITOR = "auditor", "reads the audit log"
    COMMITTEE = "committee", "votes on requests, where the dataset asks its committee"


class Role(Fact):
    """What one user is in one dataset. A contributor's role names the site; the others name none."""

    user = models.ForeignKey(User, models.CASCADE, related_name="roles")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="roles")
    site = models.ForeignKey(Site, models.PROTECT, null=True, blank=True, related_name="roles")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(kind="contributor", site__isnull=False) | ~models.Q(kind="contributor"), name="contributor_has_a_site"),
            models.CheckConstraint(condition=models.Q(kind="contributor") | models.Q(site__isnull=True), name="only_contributors_have_a_site"),
            models.UniqueConstraint(fields=["user", "dataset", "site", "kind"], condition=models.Q(ended_at__isnull=True), name="one_living_role_of_a_kind"),
            models.UniqueConstraint(
                fields=["user", "dataset", "kind"], condition=models.Q(ended_at__isnull=True, site__isnull=True), name="one_living_siteless_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.dataset_id}"


class Token(Fact):
    """A key to the API. Only its SHA-256 is kept: the token itself is 256 random bits, so it needs no slow hash. Scopes: `actions.SCOPES`.

    `by_operator`: issued on the command line of the registry's own machine, and so without a browser's second factor (`registry.accounts.factors`).
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    by_operator = models.BooleanField(default=False)

    @property
    def alive(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()


class OpenSession(Fact):
    """A session as its owner sees it. `proof` is a digest of what the session must show: once the account asks for another, the session is over."""

    user = models.ForeignKey(User, models.CASCADE, related_name="open_sessions")
    device = models.CharField(max_length=40, blank=True)
    proof = models.CharField(max_length=64)
    seen_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)


class Invitation(Fact):
    """A link by which somebody opens their own account, with roles. Of the link only its SHA-256 is kept; what it is worked out when the mail is sent.

    `roles`: a list of {dataset, kind, site} with ids. Who invited must still be allowed to give each of them when the link is used.
    """

    email = models.EmailField()
    institution = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=2, validators=[COUNTRY])
    roles = models.JSONField(default=list, blank=True)
    invited_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="invitations")
    hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True)

    @property
    def state(self) -> str:
        """`open`, or why not."""
        if self.accepted_at is not None:
            return "used"
        if self.revoked_at is not None:
            return "revoked"
        return "open" if self.expires_at > timezone.now() else "expired"


class Counter(models.Model):
    """How often a key was hit in a window of time. Lives with the cache; `registry.accounts.limits` counts in one statement."""

    key = models.CharField(max_length=120, primary_key=True)
    window = models.BigIntegerField()
    hits = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["window"], name="counter_by_window")]
