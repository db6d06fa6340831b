"""Teams, votes, renewals, views and acts that need two people, as they go over the wire."""

from __future__ import annotations

from rest_framework import serializers as s

from registry.access import filekinds, pairs
from registry.accounts.models import Voters
from registry.api.shapes import Shape, Strict, words
from registry.rules import LEVELS


class Change(Strict):
    change = s.DictField(help_text="fields of the request that are to be otherwise, as in POST /requests")


class NewMember(Strict):
    email = s.EmailField()
    country = s.CharField(max_length=2, allow_blank=True, default="", help_text="ISO 3166-1 of their institution; empty: their account's")


class MemberShape(Shape):
    id = s.UUIDField()
    email = s.CharField(source="user.email")
    country = s.CharField()


class NamingShape(Shape):
    id = s.UUIDField()
    request = s.UUIDField(source="request_id")
    dataset = s.CharField(source="request.dataset.slug")
    requester = s.CharField(source="request.requester.email")
    title = s.CharField(source="request.title")
    email = s.CharField()
    country = s.CharField()


class Answer(Strict):
    join = s.BooleanField()


class PaperShape(Shape):
    sha256 = s.CharField()
    bytes = s.IntegerField()
    created_at = s.DateTimeField()


class NewKey(Strict):
    recipient_key = s.CharField(max_length=120)


class NewVote(Strict):
    yes = s.BooleanField()
    reason = s.CharField(max_length=5000, allow_blank=True, default="")


class VoteShape(Shape):
    yes = s.BooleanField()
    reason = s.CharField()
    at = s.DateTimeField()


class NewReport(Strict):
    done = s.CharField(max_length=20_000)
    publications = s.CharField(max_length=20_000, allow_blank=True, default="")
    incidents = s.CharField(max_length=20_000, allow_blank=True, default="")
    months = s.IntegerField(min_value=1, max_value=60, default=12)


class ReportShape(Shape):
    id = s.UUIDField()
    done = s.CharField()
    publications = s.CharField()
    incidents = s.CharField()
    months = s.IntegerField()
    created_at = s.DateTimeField()
    accepted_at = s.DateTimeField(allow_null=True)


class Renew(Strict):
    report = s.UUIDField(help_text="the report that was read; 409 where there is another now")


class Statement(Strict):
    statement = s.CharField(max_length=5000)


class ApproveMany(Strict):
    requests = s.ListField(child=s.UUIDField(), min_length=1, max_length=200)
    reason = s.CharField(max_length=5000, allow_blank=True, default="")


class NewView(Strict):
    name = s.RegexField(r"^[a-z][a-z0-9-]{0,39}$")
    title = s.CharField(max_length=200)
    kinds = s.ListField(child=s.ChoiceField(list(filekinds.KINDS)), min_length=1, max_length=len(filekinds.KINDS))
    level = s.ChoiceField(LEVELS)


class ViewShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    name = s.CharField()
    title = s.CharField()
    kinds = words()
    level = s.CharField()
    ended_at = s.DateTimeField(allow_null=True)


class NewLevel(Strict):
    level = s.ChoiceField(LEVELS)


class NewVotes(Strict):
    quorum = s.IntegerField(min_value=0, max_value=100)
    voters = s.ChoiceField(Voters.values, default="steward")


class NewAgreement(Strict):
    text = s.CharField(max_length=100_000)
    material = s.BooleanField(default=False, help_text="everybody entitled signs again")
    grace_days = s.IntegerField(min_value=0, max_value=365, default=0)


class AgreementMade(Shape):
    version = s.IntegerField()
    material = s.BooleanField()
    grace_days = s.IntegerField()


class NewProposal(Strict):
    dataset = s.SlugField()
    act = s.ChoiceField(list(pairs.ACTS))
    object = s.CharField(max_length=200, allow_blank=True, default="", help_text="request:ID, image:ID, release:ID …")
    requests = s.ListField(child=s.UUIDField(), default=list, max_length=200, help_text="instead of object: the requests of a bulk approval")
    reason = s.CharField(max_length=5000)


class ProposalShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    act = s.CharField()
    object = s.CharField()
    reason = s.CharField()
    proposed_by = s.CharField(source="proposed_by.email")
    proposed_at = s.DateTimeField()
    seconded_by = s.CharField(source="seconded_by.email", allow_null=True, default=None)
    seconded_at = s.DateTimeField(allow_null=True)
    used_at = s.DateTimeField(allow_null=True)
    expires_at = s.DateTimeField()
