"""Acts on an image: looked at, accepted, refused, or given back to its site with a question; one by one, or many after a sample was looked at.

An image that was given back is not decided: its name, originals and renderings are kept. The site answers it, or says what it is (`correcting`), and it
waits for a steward again. Nobody accepts many unseen: of more than `FEW` a sample that the list itself draws must have been looked at by who accepts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from registry import rules
from registry.access import pairs, policy
from registry.accounts import queries as accounts
from registry.accounts.models import Dataset, Level, User
from registry.audit import actions as audit
from registry.audit import queries as audit_queries
from registry.imaging import queries as imaging
from registry.imaging import store
from registry.imaging.models import DOUBTED, FACELESS, ORBIT, WAITS, Decision, Image, StoredFile
from registry.intake import quarantine
from registry.rules import Conflict, Denied, Invalid
from registry.runs import mail

FEW, LEAST, MOST_AT_ONCE = 10, 5, 500
LOOKS = ("image.view", "image.look")


# --- one image -------------------------------------------------------------------------------------------------------------------------------------


def accept_image(actor: User, image: Image, note: str = "") -> Image:
    """A steward takes an image: it can be released, and its originals are destroyed. Raises Denied, Conflict."""
    policy.require(actor, "accept", image)
    return _decide(actor, image, Image.State.ACCEPTED, note)


def refuse_image(actor: User, image: Image, reason: str) -> Image:
    """A steward does not take an image. Raises Denied, Invalid, Conflict."""
    _steward(actor, image)
    if not reason.strip():
        raise Invalid("reason_missing", "A refusal needs its reason.", "Say why, so that the site can do better.")
    return _decide(actor, image, Image.State.REFUSED, reason)


def return_image(actor: User, image: Image, reason: str) -> Image:
    """A steward gives an image back to its site with a question; originals and renderings stay. Raises Denied, Invalid, Conflict."""
    _steward(actor, image)
    if not reason.strip():
        raise Invalid("reason_missing", "Sending back needs its reason.", "Say what the site should look at or mend.")
    with transaction.atomic():
        image = _undecided(image, "proposed")
        _note(image, Image.State.RETURNED, reason.strip(), actor, Image.State.RETURNED)
        person = image.visit.participant
        for user in accounts.contributors(person.dataset, person.site):
            mail.queue(user, "image_returned", f"/images/{image.pk}")
        audit.write(actor, "image.returned", f"image:{image.pk}", dataset=person.dataset)
    return image


def answer_image(actor: User, image: Image, answer: str) -> Image:
    """The site answers what a steward asked: the image waits for a decision again. Raises Denied, Invalid, Conflict."""
    policy.require(actor, "contribute", image.visit.participant)
    if not answer.strip():
        raise Invalid("reason_missing", "An answer needs its words.", "Say what you found, or what was done.")
    with transaction.atomic():
        image = _undecided(image, "returned")
        _note(image, Image.State.PROPOSED, answer.strip(), actor, "answered")
        dataset = image.visit.participant.dataset
        for steward in accounts.stewards(dataset):
            mail.queue(steward, "images_wait", f"/images/{image.pk}")
        audit.write(actor, "image.answered", f"image:{image.pk}", dataset=dataset)
    return image


def _steward(actor: User, image: Image) -> None:
    policy.require(actor, "see", image)
    policy.require_in(actor, "decide", image.visit.participant.dataset)


def _undecided(image: Image, *states: str) -> Image:
    """The image, locked, if it is in one of these states. Raises Conflict."""
    held = Image.objects.select_for_update(of=("self",)).select_related("visit__participant__dataset", "visit__participant__site").get(pk=image.pk)
    if held.state not in WAITS:
        raise Conflict("image_decided", "This image was decided already.", "Look at its state.")
    if held.state not in states:
        raise Conflict("image_state", f"This cannot be done to an image that is {held.state}.", "Look at its state.")
    return held


def _note(image: Image, state: str, reason: str, actor: User, verdict: str) -> None:
    image.state, image.reason = state, reason
    image.save(update_fields=["state", "reason"])
    Decision.objects.create(image=image, verdict=verdict, by=actor.email, reason=reason)


def _decide(actor: User, image: Image, state: str, reason: str) -> Image:
    with transaction.atomic():
        image = _undecided(image, *WAITS)
        if state == Image.State.ACCEPTED:
            _require_faceless(actor, image, reason)
        image.state, image.reason, image.decided_by, image.decided_at = state, reason, actor, timezone.now()
        image.save()
        Decision.objects.create(image=image, verdict=state, by=actor.email, reason=reason)
        audit.write(actor, f"image.{state}", f"image:{image.pk}", dataset=image.visit.participant.dataset)
    return image


def _require_faceless(actor: User, image: Image, note: str) -> None:
    """That the face is gone: by the verdict, or where that is in doubt by what this very steward saw and says. Of the orbits: what two people say."""
    if image.deface_verdict in FACELESS:
        return
    if image.deface_verdict == ORBIT:
        if not note.strip():
            raise Invalid("reason_missing", "An image of the orbits is accepted with the reason.", "Say in the note why it is needed.")
        pairs.take(actor, image.visit.participant.dataset, "orbit_release", image)
        return
    if image.deface_verdict != DOUBTED:
        raise Denied("face_not_verified", "That the face is gone was not shown, so this image cannot be accepted.")
    looks = audit_queries.of_object(f"image:{image.pk}").filter(act="image.look", actor=audit.actor_text(actor))
    # The picture that settles it is the one after defacing: what it was before says nothing of what is left. Where nothing was cut there is but one.
    left = imaging.drawn("after", image) or imaging.drawn("before", image)
    if not any(line.detail.get("shown") and line.detail.get("picture") in left for line in looks):
        raise Conflict("face_not_looked_at", "Whether the face is gone is in doubt.", "Look at the pictures of this image in review, and decide then.")
    if not note.strip():
        raise Invalid("reason_missing", "An image in doubt is accepted with what was seen.", "Say in the note why no face is left.")


# --- many images -----------------------------------------------------------------------------------------------------------------------------------


def accept_images(actor: User, images: Sequence[Image], note: str = "") -> list[Image]:
    """Take several images, all or none. More than a few need a sample looked at, and two people where the dataset is restricted or stricter.

    Raises Denied, Conflict (`sample_not_looked_at` names the images still to look at; `needs_two_people`).
    """
    with transaction.atomic(), audit.last():
        if len(images) > FEW:
            dataset = _one_dataset(images)
            policy.require_in(actor, "decide", dataset)
            left = set(sample(actor, images)) - looked_at(actor, images)
            if left:
                errors = [{"field": f"images:{pk}", "reason": "was not looked at"} for pk in sorted(map(str, left))]
                advice = "Look at each image of the sample, then accept them all."
                raise Conflict("sample_not_looked_at", f"{len(left)} images of the sample were not looked at by you.", advice, errors=errors)
            if by_two(dataset):
                pairs.take(actor, dataset, "bulk_acceptance", bulk(images))
        return [accept_image(actor, image, note) for image in images]


def _one_dataset(images: Sequence[Image]) -> Dataset:
    if len({image.visit.participant.dataset_id for image in images}) != 1:
        raise Invalid("one_dataset", "Images of one dataset are accepted together.", "Name images of one dataset.")
    if len(images) > MOST_AT_ONCE:
        raise Invalid("too_many", f"At most {MOST_AT_ONCE} images are accepted in one act.", "Accept them in parts.")
    return images[0].visit.participant.dataset


def by_two(dataset: Dataset) -> bool:
    """Whether many images of this dataset are accepted by two people only."""
    return rules.strictness(dataset.purpose_level) >= rules.strictness(Level.RESTRICTED)


def bulk(images: Iterable[Image]) -> str:
    """These images and no others, as the object of a proposal."""
    return "images:" + hashlib.sha256(" ".join(sorted(str(image.pk) for image in images)).encode()).hexdigest()


def sample(actor: User, images: Collection[Image]) -> list[UUID]:
    """The images that must be looked at before all are accepted: the root of their number, at least five. Drawn by the list and the person, so that nobody
    chooses them; each steward gets a sample of their own. None of a few.
    """
    if len(images) <= FEW:
        return []
    seed = f"{actor.pk} {bulk(images)}"
    drawn = sorted((image.pk for image in images), key=lambda pk: hashlib.sha256(f"{seed} {pk}".encode()).digest())
    return drawn[: max(LEAST, math.ceil(math.sqrt(len(drawn))))]


def looked_at(actor: User, images: Iterable[Image]) -> set[UUID]:
    """Which of these images this person has looked at: the volume, or a picture of it."""
    names = {f"image:{image.pk}": image.pk for image in images}
    lines = audit_queries.of_objects(names).filter(act__in=LOOKS, actor=audit.actor_text(actor))
    return {names[line.object] for line in lines if line.detail.get("shown", True)}


# --- looking ---------------------------------------------------------------------------------------------------------------------------------------


def volume(actor: User, file: StoredFile) -> Path:
    """Where the bytes of one volume of an image lie, for one whom the policy lets see it; every look is one audit line.

    Raises Denied, Conflict when the bytes are not there.
    """
    policy.require(actor, "see", file.image)
    person = file.image.visit.participant
    place = store.path(person, file.sha256)
    if not place.is_file():
        raise Conflict("file_gone", "The bytes of this file are not here any more.", "Tell who runs the registry.")
    audit.write(actor, "image.view", f"image:{file.image_id}", dataset=person.dataset_id, kind=file.kind)
    return place


def after(image: Image) -> bytes | None:
    """The rendering of an image as it would be given out, while the review zone has it. It shows no face, so it is no look at one."""
    numbers = imaging.pictures(image)["after"]
    return quarantine.review(image.study_id, image.pk, numbers[0]) if numbers else None


def quality(image: Image) -> bytes | None:
    """The quality strip: as the pipeline drew it, with its mosaic of the brain, while the review zone has it; afterwards from the numbers alone."""
    numbers = imaging.pictures(image)["quality"]
    drawn = quarantine.review(image.study_id, image.pk, numbers[0]) if numbers else None
    return drawn or imaging.quality_strip(image)


def look(actor: User, image: Image, number: int) -> bytes | None:
    """One rendering with a face, for the steward of its dataset; every look is one audit line. None when it is gone. Raises Denied."""
    policy.require(actor, "review", image)
    with transaction.atomic():
        picture = quarantine.review(image.study_id, image.pk, number) if number < image.review else None
        audit.write(actor, "image.look", f"image:{image.pk}", dataset=image.visit.participant.dataset, picture=number, shown=picture is not None)
    return picture


def view_after(actor: User, image: Image) -> bytes | None:
    """The rendering that shows no face, looked at by somebody: one audit line where there is one. Raises Denied."""
    policy.require(actor, "see", image)
    picture = after(image)
    if picture is not None:
        audit.write(actor, "image.view", f"image:{image.pk}", dataset=image.visit.participant.dataset_id, kind="rendering")
    return picture
