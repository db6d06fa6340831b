"""What these pages ask for. A form checks the shape of what was typed; the acts below check the rest."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.access import papers, queries
from registry.access.models import Request
from registry.accounts.models import COUNTRY, Dataset, User
from registry.consent import duo

PURPOSES = {
    "HMB": _("Health, medical or biomedical research"),
    "DS": _("Research on one or several diseases, which you name below"),
    "METHODS": _("Development of methods: software, algorithms, statistics"),
    "GRU": _("General research use: any question of research"),
    "POA": _("Research on the origins or ancestry of populations"),
}
USES = {
    "commercial": _("The use is commercial"),
    "non_profit": _("Our institution does not work for profit"),
    "ai_training": _("A model is trained on the data (artificial intelligence)"),
    "methods": _("Methods are developed with the data"),
    "genetic": _("It is a genetic study"),
    "genetic_linkage": _("The data are joined with genetic data"),
    "clinical_care": _("The data are used in the care of patients"),
    "public_crowd": _("Images are shown to a public crowd, for instance to annotate them"),
    "recontact": _("Participants are to be contacted again, through their site"),
}
PROMISES = {
    "IRB": _("We show the approval of an ethics board"),
    "COL": _("We work together with the study's investigators"),
    "PUB": _("We publish the results"),
    "RTN": _("We return derived data"),
    "SCC": _("Standard contractual clauses are signed (for teams outside the European Economic Area)"),
}
MONDO = re.compile(r"MONDO:\d{7}")
COUNTRY_HELP = _("Two capital letters, such as DK or CA.")


def purpose_choices() -> list[tuple[str, Any]]:
    """Each purpose in plain words, with the term of the Data Use Ontology it stands for."""
    terms = duo.terms()
    return [(code, _("%(words)s (%(id)s)") % {"words": words, "id": terms[code].id} if code in terms else words) for code, words in PURPOSES.items()]


def country_field(**more: Any) -> forms.CharField:
    shape = {"maxlength": "2", "autocomplete": "country", "pattern": "[A-Z]{2}"}
    return forms.CharField(max_length=2, validators=[COUNTRY], help_text=COUNTRY_HELP, widget=forms.TextInput(attrs=shape), **more)


class RequestForm(forms.Form):
    """What a request asks for. `view` can be chosen when it begins, and not changed after."""

    title = forms.CharField(label=_("Title"), max_length=200)
    abstract = forms.CharField(
        label=_("What you want to find out, and how"),
        max_length=20_000,
        help_text=_("Stewards decide by it. Plain words are best."),
        widget=forms.Textarea(attrs={"rows": "8"}),
    )
    view = forms.ChoiceField(label=_("Which files"), required=False)
    purpose = forms.ChoiceField(label=_("What the data are for"), widget=forms.RadioSelect)
    diseases = forms.CharField(
        label=_("Diseases"),
        required=False,
        max_length=2000,
        help_text=_("For research on diseases: their MONDO ids, such as MONDO:0005301 for multiple sclerosis, with blanks between."),
    )
    uses = forms.MultipleChoiceField(
        label=_("What is true of the use"), choices=list(USES.items()), initial=["non_profit"], required=False, widget=forms.CheckboxSelectMultiple
    )
    country = country_field(label=_("Country of your institution"))
    months = forms.IntegerField(label=_("For how many months"), min_value=1, max_value=60, initial=12)
    promises = forms.MultipleChoiceField(label=_("What you commit to"), choices=list(PROMISES.items()), required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, dataset: Dataset, asker: User, held: Request | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _said(held) if held else {"country": asker.country})
        super().__init__(*args, **kwargs)
        self.fields["purpose"].choices = purpose_choices()  # type: ignore[attr-defined]
        if held:
            del self.fields["view"]
        else:
            views = [(view.name, view.title) for view in queries.views(asker).filter(dataset=dataset, ended_at=None)]
            self.fields["view"].choices = [("", _("All usual kinds of file")), *views]  # type: ignore[attr-defined]

    def clean_diseases(self) -> list[str]:
        ids = self.cleaned_data["diseases"].replace(",", " ").split()
        if wrong := [one for one in ids if not MONDO.fullmatch(one)]:
            raise forms.ValidationError(_("%(n)s of these are no MONDO ids. Each is MONDO: and seven digits."), params={"n": len(wrong)})
        return ids

    def asked(self) -> dict[str, Any]:
        """The fields as the act has them."""
        told = dict(self.cleaned_data)
        told.pop("view", None)
        uses = set(told.pop("uses"))
        return told | {name: name in uses for name in USES}


def _said(request: Request) -> dict[str, Any]:
    told = {name: getattr(request, name) for name in ("title", "abstract", "purpose", "country", "months", "promises")}
    return told | {"diseases": " ".join(request.diseases), "uses": [name for name in USES if getattr(request, name)]}


class MemberForm(forms.Form):
    """Somebody for the team."""

    email = forms.EmailField(label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    country = country_field(label=_("Country of their institution"))


class PaperForm(forms.Form):
    """The document of an ethics board."""

    paper = forms.FileField(label=_("Document (PDF, at most 10 MB)"), widget=forms.FileInput(attrs={"accept": "application/pdf"}))

    def clean_paper(self) -> Any:
        """Only so much of it was kept (`registry.portal.uploading`)."""
        file = self.cleaned_data["paper"]
        if file.size > papers.MOST_BYTES:
            raise forms.ValidationError(_("The document is larger than 10 MB. Make it smaller, then send it again."))
        return file


class KeyForm(forms.Form):
    """The public half of a key."""

    recipient_key = forms.CharField(
        label=_("Public key"),
        max_length=120,
        help_text=_("It begins with age1. Never paste what begins with AGE-SECRET-KEY."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_recipient_key(self) -> str:
        """A private key pasted by mistake is neither kept nor shown again."""
        key: str = self.cleaned_data["recipient_key"].strip()
        if key.upper().startswith("AGE-SECRET-KEY"):
            self.data = self.data.copy()
            self.data["recipient_key"] = ""
            raise forms.ValidationError(
                _("That was the private key. It was not kept, but it has been sent: make another key, and paste what begins with age1.")
            )
        return key


class SignForm(forms.Form):
    """The word that one has read and agrees."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    accept = forms.BooleanField(label=_("I have read the whole agreement, and I agree to it."))


class ReportForm(forms.Form):
    """What was done with the data."""

    done = forms.CharField(label=_("What was done with the data"), max_length=20_000, widget=forms.Textarea(attrs={"rows": "6"}))
    publications = forms.CharField(label=_("Publications"), max_length=20_000, required=False, widget=forms.Textarea(attrs={"rows": "3"}))
    incidents = forms.CharField(
        label=_("Incidents"),
        max_length=20_000,
        required=False,
        help_text=_("Anything that went other than the agreement says."),
        widget=forms.Textarea(attrs={"rows": "3"}),
    )
    months = forms.IntegerField(label=_("Months more that you ask for"), min_value=1, max_value=60, initial=12)


class AttestForm(forms.Form):
    """The word that everything is deleted."""

    statement = forms.CharField(
        label=_("What was deleted, and where"),
        max_length=5000,
        help_text=_("For instance: all copies on our cluster and on two laptops, with backups, were deleted on 3 May."),
        widget=forms.Textarea(attrs={"rows": "4"}),
    )


class AcknowledgeForm(forms.Form):
    """The word that what a notice names is deleted."""

    deleted = forms.BooleanField(label=_("I deleted every file that this notice names, from every copy."))
    statement = forms.CharField(label=_("What was deleted, and where"), max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": "3"}))
