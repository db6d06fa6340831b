"""Doors of clinical tables: the dictionary and its forms, mappings of a site, a table that is tried or taken, and the tables that go out."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import queries
from registry.accounts.models import Site
from registry.api import clinical_shapes as shapes
from registry.api.doors import Door, Pages, find, told
from registry.api.shapes import Problem
from registry.clinical import actions, dictionary, privacy
from registry.clinical import queries as clinical
from registry.intake import importing
from registry.releases import exporting


class DictionaryDoor(Door):
    gives = False

    @told(OpenApiTypes.OBJECT, summary="The clinical data dictionary", tags=["clinical"])
    def get(self, request: Request) -> Response:
        return Response(dictionary.load())


class FormDoor(Door):
    gives = False

    @told(shapes.FormShape, summary="What a form of one instrument needs, from the dictionary", tags=["clinical"])
    def get(self, request: Request, slug: str) -> Response:
        if slug not in dictionary.names():
            raise Http404
        spec = dictionary.instrument(slug)
        return Response({"instrument": slug, **{key: spec[key] for key in ("title", "description", "repeats")}, "fields": dictionary.form(slug)})


class MappingsDoor(Door):
    @told(shapes.MappingShape, many=True, filters=("dataset", "site", "name"), summary="How sites' tables read", tags=["clinical"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "dataset__slug", "site": "site__code", "name": "name"}
        given = {names[key]: value for key, value in self.asked(*names).items()}
        return self.listing(clinical.mappings(self.asker).filter(**given), shapes.MappingShape, Pages)

    @told(shapes.MappingShape, request=shapes.NewMapping, status=201, summary="Save how a site's table reads", tags=["clinical"])
    def post(self, request: Request) -> Response:
        given = self.body(shapes.NewMapping)
        dataset, site = find(queries.datasets(self.asker), slug=given["dataset"]), find(Site.objects.all(), code=given["site"])
        saved = actions.save_mapping(self.asker, dataset, site, given["name"], given["spec"])
        return Response(shapes.MappingShape(saved).data, status=201)


class TablesDoor(Door):
    @told(
        shapes.TableReport,
        request=shapes.NewTable,
        summary="Try a site's clinical table, or take it: all or none",
        also={code: OpenApiResponse(Problem) for code in (413, 422)},
        tags=["clinical"],
    )
    def post(self, request: Request) -> Response:
        given = self.body(shapes.NewTable)
        by = {"dataset__slug": given["dataset"], "site__code": given["site"], "name": given["mapping"]}
        saved = find(clinical.mappings(self.asker).order_by("-number"), **by)
        act = importing.take_table if given["apply"] else importing.try_table
        return Response(act(self.asker, saved, given["table"]).told())


class ClinicalDoor(Door):
    @told(shapes.TableFiles, summary="Participants, sessions and phenotype of one's site or dataset, TSV with JSON", tags=["clinical"])
    def get(self, request: Request, slug: str) -> Response:
        entries = exporting.clinical(self.asker, find(queries.datasets(self.asker), slug=slug))
        return Response({"files": [{"path": one.path, "text": (one.text or b"").decode("utf-8")} for one in entries]})


class MappedDoor(Door):
    @told(shapes.TableFile, summary="What a mapping once read, in the site's own columns; labels stand for people, and dates are gone", tags=["clinical"])
    def get(self, request: Request, pk: Any) -> Response:
        saved = find(clinical.mappings(self.asker), pk=pk)
        return Response({"path": f"{saved.name}.csv", "text": exporting.as_mapped(self.asker, saved)})


class PrivacyDoor(Door):
    @told(OpenApiTypes.OBJECT, summary="How far a dataset's clinical fields single people out, in exact numbers, for its stewards", tags=["clinical"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(privacy.report(self.asker, find(queries.datasets(self.asker), slug=slug)))
