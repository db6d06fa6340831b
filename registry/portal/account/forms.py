"""What these pages ask for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.accounts.models import Kind

CODE = {"autocomplete": "one-time-code", "inputmode": "text", "autocapitalize": "none", "spellcheck": "false", "maxlength": "16"}
PASSWORD = {"autocomplete": "current-password"}


def password_field(**more: Any) -> forms.CharField:
    return forms.CharField(label=_("Your password"), strip=False, widget=forms.PasswordInput(attrs=PASSWORD), **more)


def code_field(**more: Any) -> forms.CharField:
    help_text = _("The six digits that your authenticator shows now, or one of your recovery codes.")
    return forms.CharField(label=_("Code"), max_length=16, help_text=help_text, widget=forms.TextInput(attrs=CODE), **more)


class Code(forms.Form):
    """The second factor, at sign-in."""

    code = code_field()


class StepUp(forms.Form):
    """Who one is, once more."""

    password = password_field(required=False)
    code = code_field(required=False)

    def fit(self, password: bool, code: bool) -> None:
        """Leaves out what the account does not have."""
        for name, there in (("password", password), ("code", code)):
            if not there:
                self.fields.pop(name)


class SetUp(forms.Form):
    """The first code of a new authenticator. Who has not just confirmed who they are says the password too."""

    code = forms.CharField(
        label=_("Code"), max_length=16, help_text=_("The six digits that it shows for Myelin."), widget=forms.TextInput(attrs={**CODE, "inputmode": "numeric"})
    )


class Forgotten(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))


class Invite(forms.Form):
    """Whom to invite, and what they shall be."""

    email = forms.EmailField(label=_("E-mail address"))
    institution = forms.CharField(label=_("Institution"), max_length=200, required=False)
    country = forms.RegexField(
        r"^[A-Z]{2}$", label=_("Country"), help_text=_("Two capital letters of ISO 3166-1. It decides what may be given to them."), max_length=2
    )
    dataset = forms.ChoiceField(label=_("Dataset"), required=False)
    kind = forms.ChoiceField(label=_("Role"), required=False)
    site = forms.ChoiceField(label=_("Site"), required=False, help_text=_("Of a contributor only."))

    def __init__(self, *args: Any, datasets: list[tuple[str, str]], kinds: frozenset[str], sites: list[tuple[str, str]], **more: Any) -> None:
        super().__init__(*args, **more)
        nothing = [("", "–")]
        self.fields["dataset"].choices = nothing + datasets  # type: ignore[attr-defined]
        self.fields["kind"].choices = nothing + [(str(kind), _(kind.label)) for kind in Kind if kind in kinds]  # type: ignore[attr-defined]
        self.fields["site"].choices = nothing + sites  # type: ignore[attr-defined]
        if not sites:
            self.fields.pop("site")
