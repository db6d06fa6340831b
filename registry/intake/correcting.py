"""What people say that headers do not: of a NIfTI file when it is sent, and of a protocol once an image of it has the wrong name, or none.

Everything said is a word of a closed list or a number, checked here, for whatever is typed freely could be a name. A correction is kept for one site
and one protocol of one dataset, goes along with every later order of that site, and lets the study it was made on be done again while its originals are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from registry.access import policy
from registry.accounts.models import Dataset, Site, User
from registry.audit import actions as audit
from registry.imaging.models import WAITS, Decision, Image
from registry.intake import matching
from registry.intake.models import Correction, Study
from registry.rules import Conflict, Invalid
from registry.subjects.models import Visit

VISIT = re.compile(r"[a-z0-9]{1,32}", re.ASCII)
# Labels that say nothing but the order of visits; any other is taken only where a visit of the site has it already, for it could be a name.
ORDINAL = re.compile(r"(?:m|v|y|w|d|t|tp|bl|fu|visit|month|year|week|day)[0-9]{1,3}|baseline|followup", re.ASCII)
MOST_LABELS = 64
OTHERWISE = "The site says that this is another contrast."


def words() -> dict[str, list[str]]:
    """The lists of words: what a mask shows, what an image is, which part of the body, what the values of a mask may mean."""
    from bidstree import masks, said  # late: they bring numpy and nibabel, which a web process needs for nothing else

    return {
        "words": sorted(masks.LABELS),
        "contrasts": sorted(said.CONTRASTS),
        "bodies": list(said.BODIES),
        "processed": list(said.PROCESSED),
        "spaces": list(said.SPACES),
        "meanings": sorted(said.MEANINGS),
    }


def checked(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a sender says of one file, as it is kept. Raises Invalid for any word that is not on its list.

    said: contrast, body, processed, space, visit (label), beside (the sender's number of another file), resample, rater (a code), labels (name -> value);
    empty ones are left out.
    """
    given = {name: value for name, value in said.items() if value not in ("", None, {}, False)}
    if not given:
        return {}
    from bidstree import said as lists

    tests = {
        "contrast": lambda value: value in lists.CONTRASTS,
        "body": lambda value: value in lists.BODIES,
        "processed": lambda value: value in lists.PROCESSED,
        "space": lambda value: value in lists.SPACES,
        "resample": lambda value: value is True,
        "visit": lambda value: bool(VISIT.fullmatch(value)),
        "beside": lambda value: type(value) is int and value >= 1,
        "rater": lambda value: bool(lists.RATER.fullmatch(value)),
        "labels": lambda value: len(value) <= MOST_LABELS and lists.means(value) and all(type(n) is int and n >= 1 for n in value.values()),
    }
    wrong = [name for name, value in given.items() if name not in tests or not tests[name](value)]
    if wrong:
        raise Invalid("unknown_word", f"This is no word for {', '.join(sorted(wrong))}.", "GET /annotations lists the words.")
    return given


def known_visit(said: Mapping[str, Any], dataset: Dataset, site: Site) -> None:
    """Refuse a visit that no person of the site has, before it is kept: what is neither a label nor an ordinal (`m12`) was typed. Raises Invalid."""
    label = said.get("visit")
    if label is None or ORDINAL.fullmatch(label):
        return
    if not Visit.objects.filter(participant__dataset=dataset, participant__site=site, label=label).exists():
        raise Invalid("unknown_word", "This site has no visit of this label.", "Add the visit first, or label visits m00, m12, ...")


def parsed_labels(text: str) -> dict[str, int]:
    """`lesion:1,new:2` as name -> value. Raises Invalid."""
    pairs = [part.partition(":") for part in text.split(",") if part]
    if any(not name or not value.isascii() or not value.isdecimal() for name, _, value in pairs) or len({name for name, _, _ in pairs}) < len(pairs):
        raise Invalid("unknown_word", "This is no dictionary of labels.", "Write it as lesion:1,new:2 in words of GET /annotations.")
    return {name: int(value) for name, _, value in pairs}


def remembered(dataset: Dataset, site: Site) -> dict[str, dict[str, Any]]:
    """Fingerprint of a protocol -> what was decided about it, for an order of this site."""
    return dict(Correction.objects.filter(dataset=dataset, site=site).values_list("protocol", "correction"))


def correct(actor: User, image: Image, said: Mapping[str, Any]) -> Correction:
    """Say what the images of this one's protocol are; later uploads of the site know it. While originals are there, the image's study is done again.

    said: datatype, suffix, entities, fields, context, code, as `bidstree.corrections.Correction`. Every image of this protocol at this site that waits for a
    steward, under a name that is now known to be wrong, is refused, and its study is done again too. Raises Denied, Invalid for what BIDS has no name for,
    Conflict where the protocol is not known or the image is decided.
    """
    policy.require(actor, "contribute", image.visit.participant)
    row = _parsed(said)
    told = image.provenance.get("contrast") or {}
    protocol = str(told.get("protocol") or "")
    if not re.fullmatch(r"[0-9a-f]{32}", protocol):
        raise Conflict("protocol_unknown", "This image does not tell its protocol.", "A NIfTI file is named when it is sent: send it again with its contrast.")
    with transaction.atomic():
        _hold(image)
        image = Image.objects.select_for_update(of=("self",)).select_related("visit__participant__dataset", "visit__participant__site").get(pk=image.pk)
        if image.state in (Image.State.ACCEPTED, Image.State.WITHDRAWN):
            raise Conflict("image_decided", "This image was decided already.", "Look at its state.")
        person = image.visit.participant
        kept, _ = Correction.objects.update_or_create(
            dataset=person.dataset, site=person.site, protocol=protocol, defaults={"correction": row, "by": actor.email}
        )
        refused = set_aside(_alike(person.dataset, person.site, protocol), actor.email)
        again = [_again(study) for study in sorted({image.study_id, *(one.study_id for one in refused)})]
        for one in refused:
            if one.pk != image.pk:
                audit.write(actor, "image.refuse", f"image:{one.pk}", dataset=person.dataset, protocol=protocol)
        audit.write(actor, "contrast.correct", f"image:{image.pk}", dataset=person.dataset, protocol=protocol, refused=len(refused), again=sum(again))
    return kept


def _hold(image: Image) -> None:
    """Wait for the runs that are just recording this site's images, and let none record until the correction is there: it would not be seen."""
    person = image.visit.participant
    going = Study.objects.filter(upload__dataset=person.dataset, upload__site=person.site).exclude(state__in=[Study.State.WAITING, Study.State.REFUSED])
    list(going.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))


def _alike(dataset: Dataset, site: Site, protocol: str) -> QuerySet[Image]:
    """The images of a protocol at a site that wait for a steward."""
    people = Image.objects.filter(visit__participant__dataset=dataset, visit__participant__site=site)
    return people.filter(state__in=WAITS, provenance__contrast__protocol=protocol)


def set_aside(images: QuerySet[Image], by: str) -> list[Image]:
    """Refuse images that wait under a name that the site says is wrong. The caller holds the transaction."""
    found = list(images.select_for_update(of=("self",)).order_by("pk"))
    for one in found:
        one.state, one.reason = Image.State.REFUSED, OTHERWISE
        one.save(update_fields=["state", "reason"])
        Decision.objects.create(image=one, verdict="refused", by=by, reason=one.reason)
    return found


def overtaken(study: Study, since: datetime) -> list[Image]:
    """Refuse what a run gave for protocols that were corrected after it was asked for (`since`): its order may not have known. The study is sent again."""
    dataset, site = study.upload.dataset, study.upload.site
    late = list(Correction.objects.filter(dataset=dataset, site=site, changed_at__gte=since).values("protocol", "by"))
    found = [one for row in late for one in set_aside(_alike(dataset, site, row["protocol"]).filter(study_id=study.pk), row["by"])]
    if found:
        transaction.on_commit(partial(_once_more, study.pk), robust=True)  # later: a run that is being recorded is still the study's living one
    return found


def _once_more(study: UUID) -> None:
    with transaction.atomic():
        _again(study)


def _parsed(said: Mapping[str, Any]) -> dict[str, Any]:
    from bidstree import corrections
    from bidstree.errors import BidsError

    try:
        row = asdict(corrections.parse(dict(said)))
    except BidsError as error:
        raise Invalid(error.code, error.reason, error.advice) from None
    return row | {"context": list(row["context"])}


def _again(id_: UUID) -> bool:
    """Whether a study could be sent to the pipeline once more."""
    study = Study.objects.select_for_update(of=("self",)).select_related("upload__dataset", "participant").filter(pk=id_).first()
    if study is None or study.state != Study.State.RECORDED or study.wiped_at or study.upload.wiped_at:
        return False
    matching.again(study)
    return True
