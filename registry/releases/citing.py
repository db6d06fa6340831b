"""How a release is cited: DataCite metadata (kernel 4.6) as data. Nothing is minted here; a DOI is told where the dataset has one.

The paper names the release and whoever made it, never a participant, and no number of people: that is told by the counts alone. A release that was taken
back keeps its paper, with the reason, so that what cites it still leads somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from registry.accounts.models import Dataset
from registry.releases.models import Release
from registry.rules import Invalid

SCHEMA = "http://datacite.org/schema/kernel-4"
KNOWN = {"creators", "publisher", "subjects", "funding", "doi"}
DOI = re.compile(r"10\.[0-9]{4,9}/[-._;()/:A-Za-z0-9]+")
ORCID = re.compile(r"[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]")
MOST = 500


def checked(citation: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset says of its citation: `{"creators": [{"name", "affiliation", "orcid"}], "publisher", "subjects": [], "funding": [{"funder", "award"}],
    "doi"}`; all may be left out. Raises Invalid `citation_wrong`."""
    told = dict(citation)
    if set(told) - KNOWN:
        raise _wrong("It has a part that is not known.")
    for name, keys in (("creators", {"name", "affiliation", "orcid"}), ("funding", {"funder", "award"})):
        rows = told.get(name, [])
        first = "name" if name == "creators" else "funder"
        good = isinstance(rows, list) and len(rows) <= MOST and all(isinstance(row, dict) and row.get(first) and set(row) <= keys for row in rows)
        if not good or not all(isinstance(value, str) and len(value) <= MOST for row in rows for value in row.values()):
            raise _wrong(f"`{name}` is a list of objects of {', '.join(sorted(keys))}, with `{first}`.")
    if any(row.get("orcid") and not ORCID.fullmatch(row["orcid"]) for row in told.get("creators", [])):
        raise _wrong("An ORCID is 0000-0000-0000-0000.")
    if told.get("doi") and not (isinstance(told["doi"], str) and DOI.fullmatch(told["doi"])):
        raise _wrong("A DOI begins with 10. and has a slash.")
    words = told.get("subjects", [])
    if not isinstance(told.get("publisher", ""), str) or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _wrong("`publisher` is a text, `subjects` a list of them.")
    return told


def _wrong(reason: str) -> Invalid:
    return Invalid("citation_wrong", f"The citation is not as it must be. {reason}", "See docs/reference/api.md.")


def paper(release: Release, size: int, formats: Iterable[str], before: Release | None) -> dict[str, Any]:
    """The DataCite metadata of a release as it is closed. `before`: the release that it is a new version of."""
    dataset, told = release.dataset, dict(release.dataset.citation)
    made: dict[str, Any] = {
        "schemaVersion": SCHEMA,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Brain imaging dataset (BIDS)"},
        "identifiers": [{"identifier": told["doi"], "identifierType": "DOI"}] if told.get("doi") else [],
        "alternateIdentifiers": [{"alternateIdentifier": str(release.pk), "alternateIdentifierType": "Myelin release"}],
        "creators": _creators(dataset, told),
        "titles": [{"title": dataset.name}],
        "publisher": {"name": told.get("publisher") or "Myelin registry"},
        "publicationYear": release.created_at.year,
        "version": release.version,
        "language": "en",
        "sizes": [_size(size)],
        "formats": sorted(formats),
        "descriptions": [{"description": dataset.description or dataset.name, "descriptionType": "Abstract"}],
        "subjects": [{"subject": word} for word in told.get("subjects", [])],
        "dates": [{"date": release.created_at.date().isoformat(), "dateType": "Created"}],
    }
    if dataset.licence:
        made["rightsList"] = [{"rights": dataset.licence}]
    if told.get("funding"):
        named = (("funderName", "funder"), ("awardNumber", "award"))
        made["fundingReferences"] = [{ours: row[name] for ours, name in named if row.get(name)} for row in told["funding"]]
    if before is not None:
        made["relatedIdentifiers"] = [{"relationType": "IsNewVersionOf", "relatedIdentifierType": "URL", "relatedIdentifier": address(before)}]
    return made


def sentence(paper: Mapping[str, Any]) -> str:
    """A release as it is cited in a text: who, when, what, version, publisher, and the DOI where there is one."""
    who = "; ".join(one["name"] for one in paper.get("creators", []))
    title = next((one["title"] for one in paper.get("titles", [])), "")
    doi = next((f" https://doi.org/{one['identifier']}" for one in paper.get("identifiers", []) if one.get("identifierType") == "DOI"), "")
    year, version, house = paper.get("publicationYear", ""), paper.get("version", ""), paper.get("publisher", {}).get("name", "")
    return f"{who} ({year}). {title} (Version {version}) [Dataset]. {house}.{doi}"


def address(release: Release) -> str:
    """Where the paper of a release stands for good."""
    return f"{settings.MYELIN_URL.rstrip('/')}/api/v1/releases/{release.pk}/datacite"


def _creators(dataset: Dataset, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who made it: those that the dataset names; else its sites, for DataCite wants somebody."""
    named = [_creator(row) for row in told.get("creators", [])]
    return named or [{"name": site.name, "nameType": "Organizational"} for site in dataset.sites.order_by("code")] or [{"name": dataset.name}]


def _creator(row: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": row["name"], "nameType": "Personal"}
    if row.get("affiliation"):
        made["affiliation"] = [{"name": row["affiliation"]}]
    if row.get("orcid"):
        made["nameIdentifiers"] = [{"nameIdentifier": f"https://orcid.org/{row['orcid']}", "nameIdentifierScheme": "ORCID"}]
    return made


def _size(count: int) -> str:
    """Bytes as people read them, to two digits: the exact size would tell who came and went."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.2g} {unit}" if value < 100 else f"{round(value, -1):.0f} {unit}"


def formats(paths: Iterable[str]) -> set[str]:
    """The kinds of file in a release."""
    kinds = {".nii.gz": "NIfTI (.nii.gz)", ".json": "JSON", ".tsv": "TSV", ".bval": "FSL bval", ".bvec": "FSL bvec"}
    listed = list(paths)
    return {words for end, words in kinds.items() if any(path.endswith(end) for path in listed)}
