"""Acts of who may have what, in one place for everybody outside: who is here (`opening`), asking, deciding, signing, ending; two people are in `pairs`.

Each act asks whether the actor may, checks, changes and writes its audit line as the last statement of one transaction.
"""

from __future__ import annotations

from registry.access.asking import (
    ASKED,
    change_request,
    draft_request,
    drop_member,
    freeze_cohort,
    name_member,
    screen_request,
    set_recipient_key,
    submit_request,
    withdraw_request,
)
from registry.access.deciding import approve_request, approve_requests, reasons_as_data, reject_request, return_request, vote
from registry.access.ending import (
    attest_deletion,
    close_request,
    expire,
    expire_request,
    fall_due,
    renew_request,
    report,
    resume_request,
    revoke_entitlement,
    revoke_request,
    suspend_request,
)
from registry.access.opening import (
    agree_faces,
    agree_protocol,
    agree_votes,
    disable_account,
    end_role,
    end_view,
    forget_factor,
    give_role,
    issue_token,
    open_account,
    open_dataset,
    open_site,
    open_view,
    publish_agreement,
    publish_form,
    revoke_token,
    set_level,
)
from registry.access.papers import attach_paper, take_paper_off
from registry.access.signing import sign_agreement
from registry.access.teams import decline, invite_member, join_team, take_naming_back

__all__ = [
    "ASKED", "agree_faces", "agree_protocol", "agree_votes", "approve_request", "approve_requests", "attach_paper", "attest_deletion",
    "change_request", "close_request", "decline", "disable_account", "draft_request", "drop_member", "end_role", "end_view", "expire",
    "expire_request", "fall_due", "forget_factor", "freeze_cohort", "give_role", "invite_member", "issue_token", "join_team", "name_member",
    "open_account", "open_dataset", "open_site", "open_view", "publish_agreement", "publish_form", "reasons_as_data", "reject_request",
    "renew_request", "report", "resume_request", "return_request", "revoke_entitlement", "revoke_request", "revoke_token", "screen_request",
    "set_level", "set_recipient_key", "sign_agreement", "submit_request", "suspend_request", "take_naming_back", "take_paper_off", "vote",
    "withdraw_request",
]  # fmt: skip
