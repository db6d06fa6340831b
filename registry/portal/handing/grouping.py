"""After sorting: how an upload's files were grouped, what waits and why, and the acts on it: bind, merge, split, refuse, move, correct the contrast."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.imaging import queries as imaging
from registry.imaging.models import Image
from registry.intake import actions, overview, queries, regrouping
from registry.intake.matching import UNBINDABLE
from registry.intake.models import Study, Upload
from registry.portal.acting import found
from registry.portal.handing.acting import Handing
from registry.portal.handing.forms import Contrast, Whose, Why
from registry.portal.handing.pages import standing
from registry.releases import actions as releases
from registry.rules import Invalid
from registry.subjects.models import Participant, Visit

STUDIES, FILES = 50, 300


class OneUpload(Handing):
    """One upload: its studies, those that wait first, and what was not taken, with reasons."""

    template = "portal/handing/upload.html"
    gives = True

    def upload(self, pk: UUID) -> Upload:
        return found(queries.uploads(self.asker), pk=pk)

    def shown(self, upload: Upload, form: Whose, chosen: Any = (), status: int = 200) -> HttpResponse:
        rows = self._studies(upload)
        waiting = rows.filter(state=Study.State.WAITING)
        page = Paginator(rows.exclude(state=Study.State.WAITING).order_by("state", "created_at", "id"), STUDIES).get_page(self.request.GET.get("page"))
        images = overview.images_of(self.asker, page.object_list)
        told = [{"study": one, "images": images.get(one.pk, [])} for one in page.object_list]
        totals = queries.totals(upload)
        more: dict[str, Any] = self.about(upload.dataset)
        more |= {"files": standing(upload, totals), "totals": totals, "verdicts": overview.verdicts(self.asker, upload), "chosen": set(chosen)}
        first = list(waiting.order_by("code", "created_at", "id")[:STUDIES])
        mine = any(one.dataset.pk == upload.dataset_id and one.site.pk == upload.site_id for one in overview.places(self.asker))
        return self.show(status, upload=upload, waiting=first, waiting_count=waiting.count(), going=told, page=page, form=form, mine=mine, **more)

    def _studies(self, upload: Upload) -> QuerySet[Study]:
        return queries.studies(self.asker).filter(upload=upload).select_related("participant", "visit", "upload__dataset", "upload__site")


class UploadPage(OneUpload):
    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.shown(self.upload(pk), Whose())


class MergePage(OneUpload):
    """Several waiting studies are one visit."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        upload, form, chosen = self.upload(pk), Whose(request.POST), request.POST.getlist("study")
        if not form.is_valid():
            return self.shown(upload, form, chosen, 400)
        studies = [one for one in self._studies(upload).filter(state=Study.State.WAITING) if str(one.pk) in chosen]
        merged = self.attempt(lambda: regrouping.merge(self.asker, studies, visit_of(self, upload, form)))
        if merged is None:
            return self.shown(upload, form, chosen)
        words = ngettext("%(n)d study was bound to one visit.", "%(n)d studies were bound to one visit.", len(studies)) % {"n": len(studies)}
        return self.done(words, "portal:handed_in", pk=pk)


def step_to(upload: Upload) -> tuple[str, Any]:
    """The upload's place in a path."""
    return reverse("portal:handed_in", kwargs={"pk": upload.pk}), _("Upload")


def visit_of(page: Handing, upload: Upload, form: Whose) -> Visit:
    """The visit that a form names, of the person that it names. Raises Denied, Invalid."""
    given = form.cleaned_data
    return visit(overview.person(page.asker, upload.dataset, upload.site, given["who"], given["issuer"]), given["visit"])


def visit(person: Participant, label: str) -> Visit:
    """The person's visit of this label. Raises Invalid."""
    one = person.visits.filter(label=label.strip().removeprefix("ses-")).first()
    if one is None:
        raise Invalid("unknown_visit", "This participant has no visit of this label.", "Add the visit on the participant's page, then bind.")
    return one


class OneStudy(Handing):
    """One study: whose it is, what became of its images and files, and what can be said about it."""

    template = "portal/handing/study.html"
    gives = True

    def study(self, pk: UUID) -> Study:
        rows = queries.studies(self.asker).select_related("participant", "visit", "upload__dataset", "upload__site")
        return found(rows, pk=pk)

    def shown(self, study: Study, status: int = 200, **forms: Any) -> HttpResponse:
        place = {(one.dataset.pk, one.site.pk) for one in overview.places(self.asker)}
        files = queries.files(self.asker).filter(study=study).order_by("n", "number")
        told = {
            "study": study,
            "files": list(files[:FILES]),
            "images": overview.images_of(self.asker, [study]).get(study.pk, []),
            "mine": (study.upload.dataset_id, study.upload.site_id) in place,
            "loose": regrouping.is_nifti(study) and study.file_count > 1,
            "bindable": study.state == Study.State.WAITING and study.code not in UNBINDABLE,
            "form": Whose(use_required_attribute=study.state == Study.State.WAITING),
            "why": Why(),
            **self.about(study.upload.dataset, step_to(study.upload)),
        }
        return self.show(status, **told | forms)


class StudyPage(OneStudy):
    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.shown(self.study(pk))


class OnStudy(OneStudy):
    """An act on a study; refused, the study's page says why."""

    form_class: type[Any] = Why
    form_name = "why"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        study, form = self.study(pk), self.form_class(request.POST)
        if not form.is_valid():
            return self.shown(study, 400, **{self.form_name: form})
        if self.attempt(lambda: self.act(study, form) or True) is None:
            return self.shown(study, **{self.form_name: form})
        return self.done(self.words, "portal:study", pk=pk)

    words: Any = ""

    def act(self, study: Study, form: Any) -> None:
        raise NotImplementedError


class BindPage(OnStudy):
    form_class, form_name = Whose, "form"
    words = _("The study was bound.")

    def act(self, study: Study, form: Any) -> None:
        one = visit_of(self, study.upload, form)
        actions.bind_study(self.asker, study, one.participant, one)


class RefusePage(OnStudy):
    words = _("The study was refused. Its originals are destroyed within minutes.")

    def act(self, study: Study, form: Any) -> None:
        actions.refuse_study(self.asker, study, form.cleaned_data["reason"])


class SplitPage(OnStudy):
    """Some files of a study become one of their own."""

    words = _("The study was split. Both parts wait to be bound.")

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        study, chosen = self.study(pk), request.POST.getlist("file")
        rows = [row for row in queries.files(self.asker).filter(study=study) if str(row.pk) in chosen]
        apart = self.attempt(lambda: regrouping.split(self.asker, study, rows))
        return self.shown(study) if apart is None else self.done(self.words, "portal:study", pk=apart.pk)


class MovePage(OnStudy):
    """A recorded study that was bound wrongly: to the right visit, or back (with nobody named)."""

    words = _("The study was taken from where it was. Whoever received an image of it is told.")
    step_up = ("POST",)

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        study, why, whose = self.study(pk), Why(request.POST), Whose(request.POST, use_required_attribute=False)
        somewhere = bool(request.POST.get("who", "").strip())
        if not why.is_valid() or (somewhere and not whose.is_valid()):
            return self.shown(study, 400, why=why, **({"form": whose} if somewhere else {}))

        def act() -> Any:
            return releases.rebind(self.asker, study, visit_of(self, study.upload, whose) if somewhere else None, why.cleaned_data["reason"])

        return self.shown(study, why=why) if self.attempt(act) is None else self.done(self.words, "portal:study", pk=pk)


class CorrectPage(Handing):
    """What the images of a protocol are, said once: later uploads of the site know it."""

    template = "portal/handing/correct.html"
    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._shown(self.image(pk), Contrast())

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        image, form = self.image(pk), Contrast(request.POST)
        if not form.is_valid():
            return self._shown(image, form, 400)
        if self.attempt(lambda: actions.correct(self.asker, image, form.said())) is None:
            return self._shown(image, form)
        words = _("Noted for this protocol of your site. Where the originals are still kept, its study is converted again.")
        return self.done(words, "portal:study", pk=image.study_id)

    def _shown(self, image: Image, form: Contrast, status: int = 200) -> HttpResponse:
        study = reverse("portal:study", kwargs={"pk": image.study_id}), _("Study")
        return self.show(status, image=image, form=form, **self.about(image.visit.participant.dataset, study))

    def image(self, pk: UUID) -> Image:
        return found(imaging.images(self.asker), pk=pk)
