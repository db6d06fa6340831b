"""Who somebody is, and what an institution, a site and a dataset are, as they go over the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from deid.facepolicy import EXEMPTIBLE
from registry.api.shapes import Shape, Strict, words
from registry.rules import LEVELS


class RoleShape(Shape):
    id = s.UUIDField()
    email = s.CharField(source="user.email")
    dataset = s.CharField(source="dataset.slug")
    site = s.CharField(source="site.code", allow_null=True, default=None)
    kind = s.CharField()


class UserShape(Shape):
    id = s.UUIDField()
    email = s.CharField()
    institution = s.CharField()
    country = s.CharField()
    administrator = s.BooleanField(source="is_superuser")
    roles = s.SerializerMethodField()

    def get_roles(self, user: Any) -> list[dict[str, Any]]:
        living = user.roles.filter(ended_at=None).select_related("dataset", "site", "user")
        return [{key: row[key] for key in ("dataset", "site", "kind")} for row in RoleShape(living, many=True).data]


class SessionShape(Shape):
    user = UserShape(allow_null=True)
    csrf = s.CharField()
    needs = s.CharField(allow_blank=True, help_text="code or set_up: what the account needs before anything else of it answers; empty: nothing")


class SignIn(Strict):
    email = s.CharField(max_length=254)
    password = s.CharField(max_length=1000, trim_whitespace=False)
    code = s.CharField(max_length=16, allow_blank=True, default="", help_text="of the authenticator, or a recovery code")
    step_up = s.BooleanField(default=False, help_text="the session may take data away and decide for ten minutes, as after POST session/confirm")


class Confirm(Strict):
    password = s.CharField(max_length=1000, trim_whitespace=False, allow_blank=True, default="")
    code = s.CharField(max_length=16, allow_blank=True, default="")


class NewUser(Strict):
    email = s.EmailField()
    password = s.CharField(max_length=1000, trim_whitespace=False)
    institution = s.CharField(max_length=200, allow_blank=True, default="")
    country = s.RegexField(r"^[A-Z]{2}$")


class NewRole(Strict):
    email = s.EmailField()
    dataset = s.SlugField()
    site = s.SlugField(allow_null=True, default=None)
    kind = s.ChoiceField(["contributor", "steward", "researcher", "auditor", "committee"])


class NewToken(Strict):
    name = s.CharField(max_length=80)
    scopes = s.ListField(child=s.ChoiceField(["read", "write", "download", "decide", "admin"]), min_length=1, max_length=5)
    days = s.IntegerField(min_value=1, max_value=366, default=30)


class TokenShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    scopes = words()
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField()
    last_used_at = s.DateTimeField(allow_null=True)


class TokenMade(TokenShape):
    token = s.CharField(help_text="shown this once")


class SiteShape(Strict):
    code = s.RegexField(r"^[a-z][a-z0-9-]{0,39}$")
    name = s.CharField(max_length=200)
    country = s.RegexField(r"^[A-Z]{2}$")


class DatasetShape(Shape):
    slug = s.CharField()
    name = s.CharField()
    description = s.CharField()
    licence = s.CharField()
    purpose_level = s.CharField()
    quorum = s.IntegerField()
    voters = s.CharField()
    min_count = s.IntegerField()
    k = s.IntegerField()
    citation = s.JSONField()
    retention_days = s.IntegerField()
    protocol = s.JSONField()
    inclusion = words()
    faces = s.JSONField()
    sites = s.SerializerMethodField()

    def get_sites(self, dataset: Any) -> list[str]:
        return [site.code for site in dataset.sites.all()]


class NewProtocol(Strict):
    protocol = s.DictField(default=dict, help_text="a protocol profile of its own, as data (docs/reference/quality.md); empty: magnims-2024")
    inclusion = s.ListField(child=s.CharField(max_length=64), default=list, max_length=200, help_text="rules of the profile that a scan must not break")


class FacesPolicy(Strict):
    name = s.RegexField(r"^[a-z0-9][a-z0-9-]{0,63}$", help_text="every volume that passes by the policy names it")
    exempt = s.ListField(child=s.ChoiceField(list(EXEMPTIBLE)), default=list, max_length=4, help_text="suffixes that pass where no face could be looked for")
    orbits = s.ChoiceField(["withheld", "restricted"], default="withheld", help_text="restricted: two people decide on series made of the orbits")


class NewDataset(NewProtocol):
    slug = s.RegexField(r"^[a-z][a-z0-9-]{0,39}$")
    name = s.CharField(max_length=200)
    description = s.CharField(max_length=20_000, allow_blank=True, default="")
    licence = s.CharField(max_length=200, allow_blank=True, default="")
    terms = s.CharField(max_length=100_000, allow_blank=True, default="")
    agreement = s.CharField(max_length=100_000, help_text="text of version 1")
    purpose_level = s.ChoiceField(LEVELS, default="controlled")
    min_count = s.IntegerField(min_value=2, max_value=1000, default=11)
    k = s.IntegerField(min_value=1, max_value=1000, default=5, help_text="a release with a smaller class needs two people; 1: none does")
    retention_days = s.IntegerField(min_value=1, max_value=365, default=30)
    sites = s.ListField(child=s.CharField(max_length=40), default=list, max_length=500)
