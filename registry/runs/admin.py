"""The ledger, leases and mails to look at: what hangs, what died and why."""

from django.contrib import admin

from registry.readonly import ReadOnly
from registry.runs.models import Lease, Mail, Run


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = ("id", "kind", "state", "attempt", "owner", "heartbeat_at", "code", "created_at")
    list_filter = ("state", "kind", "queue")


@admin.register(Mail)
class MailAdmin(ReadOnly):
    list_display = ("id", "subject", "state", "tries", "next_try_at", "error_code")
    list_filter = ("state",)


@admin.register(Lease)
class LeaseAdmin(ReadOnly):
    list_display = ("name", "owner", "until", "ran_at")
