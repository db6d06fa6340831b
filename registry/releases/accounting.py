"""What stands behind a release, kept with it: whose rules made it, on which consents it stands, what was left out and why. It names nobody.

Consents are told as digests of distinct facts, and as the forms that were signed, with the number of people on each, never as a list from person to
consent: who leaves must leave nothing behind, and a row that says what somebody agreed to would stay. Which release somebody was in stands in the
release's own rows, until their tombstone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.outcome import versions as tools
from qa.examine import VERSION as QA
from registry.clinical import dictionary
from registry.consent.models import ConsentEvent, Standing
from registry.imaging.models import Image
from registry.releases.gathering import in_chunks
from registry.releases.sealing import canonical

FORM = ("name", "version", "language", "sha256")


def consents(people: Iterable[Any]) -> list[dict[str, Any]]:
    """The distinct consents on which these people stand at this moment, each with how many do."""
    found = Counter[str]()
    for ids in in_chunks(people):
        found.update(Standing.objects.filter(participant__in=ids).values_list("facts__digest", flat=True))
    return [{"digest": digest, "people": found[digest]} for digest in sorted(found)]


def forms(people: Iterable[Any]) -> list[dict[str, Any]]:
    """The versions of the consent forms that these people signed last, each with its language, the hash of its text, and how many signed it.

    Whose consent was recorded without a form stands in a row without a name.
    """
    found = Counter[tuple[Any, ...]]()
    named = [f"template__{name}" for name in FORM]
    for ids in in_chunks(people):
        events = ConsentEvent.objects.filter(participant__in=ids).order_by("participant", "number")
        found.update({person: tuple(form) for person, *form in events.values_list("participant", *named)}.values())
    return [{**dict(zip(FORM, form, strict=True)), "people": found[form]} for form in sorted(found, key=str)]


def versions(images: Iterable[Image]) -> dict[str, Any]:
    """With which profiles, thresholds and programs the images were made (each with how many), and which are in use now."""
    found: dict[str, Counter[str]] = {}
    for image in images:
        for name, said in _made_by(image.provenance).items():
            found.setdefault(name, Counter())[str(said)] += 1
    made = {name: dict(sorted(counts.items())) for name, counts in sorted(found.items())}
    return {"images": made, "now": {"dictionary": dictionary.version(), "quality": QA, "software": tools()}}


def _made_by(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Which rules one image was made by, as far as its paper says."""
    deid, deface, quality, protocol = (provenance.get(name) or {} for name in ("deid", "deface", "quality", "protocol"))
    said = {
        "deid_profile": deid.get("profile"),
        "deface_profile": deface.get("profile"),
        "surface_thresholds": (deface.get("surface") or {}).get("version"),
        "quality_definitions": quality.get("qa_version"),
        "quality_norm": quality.get("norm"),
        "protocol": " ".join(str(protocol[name]) for name in ("profile", "version") if protocol.get(name)),
        **{f"software_{name}": text for name, text in (provenance.get("versions") or {}).items()},
    }
    return {name: text for name, text in said.items() if text}


def digest(account: Mapping[str, Any]) -> str:
    """The hash of an account: of its canonical JSON."""
    return hashlib.sha256(canonical(account)).hexdigest()
