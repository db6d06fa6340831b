"""Accounts to look at. Password and token hashes are not shown."""

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
