"""What the pages of finding ask for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

PURPOSES = [
    ("HMB", _("health, medical or biomedical research")),
    ("DS", _("research on diseases that I name")),
    ("METHODS", _("development of methods")),
    ("GRU", _("any research")),
    ("POA", _("research on ancestry")),
]


class SaveForm(forms.Form):
    """The name of a cohort."""

    name = forms.CharField(label=_("Name"), max_length=120)


class ShareForm(forms.Form):
    """With whom a cohort is shared."""

    email = forms.EmailField(label=_("E-mail address of the account"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))


class AskForm(forms.Form):
    """How a request for a cohort begins. All else is said on the request's own page."""

    title = forms.CharField(label=_("Title of the study"), max_length=200)
    abstract = forms.CharField(label=_("What you want to find out"), max_length=20_000, widget=forms.Textarea(attrs={"rows": 4}))
    purpose = forms.ChoiceField(label=_("Purpose"), choices=PURPOSES)
    diseases = forms.CharField(label=_("Diseases"), help_text=_("MONDO ids, such as MONDO:0005301, for research on diseases."), required=False, max_length=500)

    def asked(self) -> dict[str, Any]:
        """The fields of the request."""
        given = dict(self.cleaned_data)
        return {**given, "diseases": [one for one in given["diseases"].replace(",", " ").split() if one]}
