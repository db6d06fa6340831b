"""Accounts to look at. Password and token hashes are not shown."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin

from registry.accounts.models import Agreement, Dataset, Role, Site, Token, User
from registry.readonly import ReadOnly


@admin.register(User)
class UserAdmin(ReadOnly):
    list_display = ("email", "institution", "country", "is_active", "is_superuser", "last_login")
    exclude = ("password",)


@admin.register(Token)
class TokenAdmin(ReadOnly):
    list_display = ("user", "name", "scopes", "expires_at", "revoked_at", "last_used_at")
    exclude = ("hash",)


@admin.register(Role)
class RoleAdmin(ReadOnly):
    list_display = ("user", "dataset", "site", "kind", "created_at", "ended_at")


admin.site.register([Agreement, Dataset, Site], ReadOnly)

# What could be changed here by allauth's own pages: links with providers, secrets of second factors. They have acts of their own, or none.
for model in (Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
