"""What these pages ask for. A form checks shapes; the acts below check the rest and say what is wrong."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.consent.models import Assent, Event, GivenBy
from registry.rules import BOXES, LEGAL_BASES, MODIFIERS, PERMISSIONS, TRANSFERS
from registry.subjects.models import BANDS

OFF = {"autocomplete": "off", "spellcheck": "false"}
NONE = ("", "–")


def text(**fields: Any) -> forms.CharField:
    return forms.CharField(widget=forms.TextInput(attrs=OFF), max_length=200, **fields)


class Begin(forms.Form):
    """Where an upload goes."""

    where = forms.ChoiceField(label=_("Dataset and site"))

    def __init__(self, places: list[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(one.key, f"{one.dataset.name} – {one.site.name}") for one in places]
        self.fields["where"].choices = choices  # type: ignore[attr-defined]


class Whose(forms.Form):
    """Whose a study is: somebody by label or by the site's identifier, and the visit."""

    who = text(label=_("Participant"), help_text=_("Their label here, or your own identifier. It is looked up, not kept."))
    issuer = text(label=_("Issuer of the identifier"), required=False, help_text=_("Only if your identifiers have one."))
    visit = text(label=_("Visit"), help_text=_("The visit's label, for instance m00."))


class Why(forms.Form):
    """The reason for something that cannot be taken back."""

    reason = text(label=_("Reason"), help_text=_("Without a name."))


class Person(forms.Form):
    """Somebody to register."""

    patient_id = text(label=_("Identifier"), help_text=_("PatientID as it stands in the scans. It is sealed in the vault; only a code is used."))
    issuer = text(label=_("Issuer"), required=False, help_text=_("IssuerOfPatientID, if the scans have one."))
    sex = forms.ChoiceField(label=_("Sex"), required=False, choices=[NONE, ("F", _("female")), ("M", _("male")), ("O", _("other"))])
    birth_year_band = forms.ChoiceField(label=_("Birth years"), required=False, choices=[NONE, *((band, band) for band in reversed(BANDS))])


class NewVisit(forms.Form):
    """A visit of somebody."""

    label = text(label=_("Label"), help_text=_("Small letters and digits: m00, m12."))
    date = forms.DateField(
        label=_("Date"), widget=forms.DateInput(attrs={"type": "date", **OFF}), help_text=_("Becomes a keyed code at once; the date is not kept.")
    )
    purpose = text(label=_("Purpose"), required=False, help_text=_("A word of the dataset's protocol, or nothing."))


class NewConsent(forms.Form):
    """A consent, by a form that was signed or by its own words."""

    kind = forms.ChoiceField(label=_("What happened"), choices=[(kind, Event(kind).label) for kind in Event.values if kind != Event.WITHDRAWN])
    template = forms.ChoiceField(label=_("Form that was signed"), required=False)
    permission = forms.ChoiceField(label=_("Permission (DUO)"), required=False, choices=[NONE, *((word, word) for word in PERMISSIONS)])
    modifiers = forms.MultipleChoiceField(
        label=_("Conditions (DUO)"), required=False, choices=[(word, word) for word in MODIFIERS], widget=forms.CheckboxSelectMultiple
    )
    diseases = text(label=_("Diseases"), required=False, help_text=_("MONDO ids with blanks between, for the permission DS only."))
    countries = text(label=_("Countries"), required=False, help_text=_("Two capital letters each, for the condition GS only."))
    legal_basis = forms.ChoiceField(label=_("Legal basis"), required=False, choices=[NONE, *LEGAL_BASES.items()])
    transfer = forms.ChoiceField(label=_("Outside the EEA"), required=False, choices=[NONE, *((word, word) for word in TRANSFERS)])
    boxes = forms.MultipleChoiceField(
        label=_("Also agreed to"), required=False, choices=[(box, box.replace("_", " ")) for box in BOXES], widget=forms.CheckboxSelectMultiple
    )
    valid_until = forms.DateField(label=_("Valid until"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    given_by = forms.ChoiceField(label=_("Given by"), choices=GivenBy.choices)
    assent = forms.ChoiceField(label=_("What the child said"), required=False, choices=[NONE, *Assent.choices])
    reconsent_due = forms.DateField(
        label=_("Comes of age"), required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text=_("First day of the month; for a child only.")
    )
    evidence_sha256 = text(label=_("SHA-256 of the signed paper"), required=False, help_text=_("64 hexadecimal digits; the paper itself stays with you."))

    def __init__(self, templates: list[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(str(one.pk), f"{one.title} ({one.name} {one.version}, {one.language})") for one in templates]
        self.fields["template"].choices = [NONE, *named]  # type: ignore[attr-defined]

    def row(self, templates: list[Any]) -> dict[str, Any]:
        """What was said, as the act takes it: what was left out is not said."""
        given = self.cleaned_data
        said = {name: given[name] for name in ("permission", "modifiers", "legal_basis", "transfer") if given[name]}
        said |= {name: given[name].replace(",", " ").split() for name in ("diseases", "countries") if given[name].strip()}
        said |= dict.fromkeys(given["boxes"], True)
        signing = {name: given[name] for name in ("valid_until", "given_by", "assent", "reconsent_due")}
        template = next((one for one in templates if str(one.pk) == given["template"]), None)
        return {"kind": given["kind"], "template": template, "evidence_sha256": given["evidence_sha256"].strip().lower(), **said, **signing}


class Pasted(forms.Form):
    """A table with a header, copied out of a spreadsheet."""

    table = forms.CharField(label=_("Table"), strip=False, widget=forms.Textarea(attrs={"rows": 10, "wrap": "off", **OFF}))


class Withdraw(forms.Form):
    """The label, typed, and why other datasets are kept apart, if they are."""

    label = text(label=_("Type the label of the participant"), help_text=_("So that nobody leaves by a slip."))
    only_here = text(label=_("Only from this dataset, because"), required=False, help_text=_("Leave empty: they leave every dataset they take part in."))


class NewMapping(forms.Form):
    """How a table reads, as JSON."""

    name = text(label=_("Name of the mapping"), help_text=_("Small letters, digits, - and _."))
    spec = forms.JSONField(label=_("Mapping (JSON)"), widget=forms.Textarea(attrs={"rows": 12, "wrap": "off", **OFF}))


class Table(forms.Form):
    """A table, and the mapping that reads it."""

    name = forms.ChoiceField(label=_("Mapping"))
    table = forms.CharField(label=_("Table"), strip=False, widget=forms.Textarea(attrs={"rows": 10, "wrap": "off", **OFF}))

    def __init__(self, names: list[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class Contrast(forms.Form):
    """What an image is: a contrast of BIDS, or something that is kept out."""

    is_a = forms.ChoiceField(label=_("It is"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        outs = [("code:localizer", _("a localizer: keep it out")), ("code:derived_map", _("a computed map: keep it out"))]
        outs += [("code:secondary_capture", _("a screenshot: keep it out"))]
        self.fields["is_a"].choices = [*((word, word) for word in _contrasts()), *outs]  # type: ignore[attr-defined]

    def said(self) -> dict[str, Any]:
        """As the act takes it."""
        word = self.cleaned_data["is_a"]
        if word.startswith("code:"):
            return {"code": word.removeprefix("code:")}
        datatype, suffix, entities = _contrasts()[word]
        return {"datatype": datatype, "suffix": suffix, "entities": entities}


def _contrasts() -> dict[str, tuple[str, str, dict[str, Any]]]:
    from bidstree import said  # late: it brings numpy, which a web process needs for nothing else

    return said.CONTRASTS
