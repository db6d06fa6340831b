"""What pages ask for. A form checks the shape of what was typed; the acts below check the rest."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.accounts.actions import SCOPES

SECRET = {"autocomplete": "current-password"}


class SignIn(forms.Form):
    """Address and password."""

    email = forms.EmailField(label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(label=_("Password"), strip=False, widget=forms.PasswordInput(attrs=SECRET))


class NewToken(forms.Form):
    """A token: its name, what it may do, how long."""

    name = forms.CharField(label=_("What it is for"), max_length=80)
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"), choices=[(scope, scope) for scope in SCOPES], initial=["read"], widget=forms.CheckboxSelectMultiple
    )
    days = forms.IntegerField(label=_("Days it lives"), min_value=1, max_value=366, initial=90)
    password = forms.CharField(
        label=_("Your password"), help_text=_("Needed for download, decide and admin."), strip=False, required=False, widget=forms.PasswordInput(attrs=SECRET)
    )
    code = forms.CharField(
        label=_("A code of your authenticator"),
        help_text=_("Needed with the password."),
        max_length=16,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}),
    )
