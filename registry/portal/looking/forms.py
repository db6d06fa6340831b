"""What the list of images is asked for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.access import queries
from registry.accounts.models import Site, User
from registry.imaging.models import Image

ANY = [("", _("any"))]
GRADES = [("pass", _("pass")), ("review", _("review")), ("fail", _("fail"))]
STATES = [("proposed", _("waits for a decision")), ("returned", _("went back to its site")), ("accepted", _("accepted")), ("refused", _("refused"))]
CONTRASTS = ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "dwi", "bold", "asl", "SWI", "UNIT1", "mask")


class Filters(forms.Form):
    """By dataset, site, state, contrast and grade; all may be left out."""

    dataset = forms.ChoiceField(label=_("Dataset"), required=False)
    site = forms.ChoiceField(label=_("Site"), required=False)
    state = forms.ChoiceField(label=_("State"), required=False, choices=[*ANY, *STATES])
    contrast = forms.RegexField(r"^[A-Za-z0-9]{0,40}$", label=_("Contrast"), required=False, widget=forms.TextInput(attrs={"list": "contrasts", "size": 10}))
    grade = forms.ChoiceField(label=_("Quality"), required=False, choices=[*ANY, *GRADES])

    def __init__(self, asker: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = queries.given(asker)
        self.fields["dataset"].choices = [*ANY, *mine.values_list("slug", "name").order_by("name")]  # type: ignore[attr-defined]
        sites = Site.objects.filter(datasets__in=mine).distinct().order_by("name")
        self.fields["site"].choices = [*ANY, *sites.values_list("code", "name")]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, Any]:
        """The filters as a query of images takes them; none of what is not valid."""
        if not self.is_valid():
            return {}
        names = {
            "dataset": "visit__participant__dataset__slug", "site": "visit__participant__site__code", "state": "state", "contrast": "suffix", "grade": "grade",
        }  # fmt: skip
        return {names[name]: value for name, value in self.cleaned_data.items() if value}


STATE_WORDS = {**dict(STATES), Image.State.WITHDRAWN.value: _("left with its participant")}
