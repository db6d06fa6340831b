"""Addresses of the API. Versioned; no path ends in a slash."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from registry.api import account_doors as who
from registry.api import clinical_doors as clinical
from registry.api import consent_doors as consent
from registry.api import counting_doors as counting
from registry.api import deciding_doors as deciding
from registry.api import handing_doors as handing
from registry.api import leaving_doors as leaving
from registry.api import opening_doors as opening
from registry.api import receiving_doors as receiving
from registry.api import team_doors as team
from registry.api.errors import not_found

OPEN: dict[str, Any] = {"authentication_classes": [], "permission_classes": [AllowAny]}

v1: list[URLPattern] = [
    path("openapi.json", SpectacularJSONAPIView.as_view(**OPEN), name="openapi"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="openapi", **OPEN), name="docs"),
    path("health", who.HealthDoor.as_view()),
    path("keys", who.KeysDoor.as_view()),
    path("session", who.SessionDoor.as_view()),
    path("me", who.MeDoor.as_view()),
    path("tokens", who.TokensDoor.as_view()),
    path("tokens/<uuid:pk>", who.TokenDoor.as_view()),
    path("sites", who.SitesDoor.as_view()),
    path("datasets", who.DatasetsDoor.as_view()),
    path("datasets/<slug:slug>", who.DatasetDoor.as_view()),
    path("datasets/<slug:slug>/opening", opening.OpeningDoor.as_view()),
    path("datasets/<slug:slug>/protocol", who.ProtocolDoor.as_view()),
    path("datasets/<slug:slug>/faces", who.FacesDoor.as_view()),
    path("users", who.UsersDoor.as_view()),
    path("roles", who.RolesDoor.as_view()),
    path("roles/<uuid:pk>", who.RoleDoor.as_view()),
    path("runs/<uuid:pk>", who.RunDoor.as_view()),
    path("participants", handing.ParticipantsDoor.as_view()),
    path("participants/<uuid:pk>", handing.ParticipantDoor.as_view()),
    path("participants/<uuid:pk>/withdraw", leaving.WithdrawDoor.as_view()),
    path("visits", handing.VisitsDoor.as_view()),
    path("consents", consent.ConsentsDoor.as_view()),
    path("consents/due", consent.DueDoor.as_view()),
    path("consent-templates", consent.TemplatesDoor.as_view()),
    path("why", consent.WhyDoor.as_view()),
    path("dictionary", clinical.DictionaryDoor.as_view()),
    path("forms/<slug:slug>", clinical.FormDoor.as_view()),
    path("mappings", clinical.MappingsDoor.as_view()),
    path("mappings/<uuid:pk>/table", clinical.MappedDoor.as_view()),
    path("tables", clinical.TablesDoor.as_view()),
    path("datasets/<slug:slug>/clinical", clinical.ClinicalDoor.as_view()),
    path("datasets/<slug:slug>/privacy", clinical.PrivacyDoor.as_view()),
    path("count-fields", counting.CountFieldsDoor.as_view()),
    path("datasets/<slug:slug>/count", counting.CountDoor.as_view()),
    path("clinical-records", handing.RecordsDoor.as_view()),
    path("annotations", handing.AnnotationsDoor.as_view()),
    path("uploads", handing.UploadsDoor.as_view()),
    path("uploads/<uuid:pk>", handing.UploadDoor.as_view()),
    path("uploads/<uuid:pk>/files", handing.UploadFilesDoor.as_view()),
    path("uploads/<uuid:pk>/files/<int:number>", handing.UploadFileDoor.as_view()),
    path("uploads/<uuid:pk>/complete", handing.CompleteDoor.as_view()),
    path("uploads/<uuid:pk>/receipt", handing.ReceiptDoor.as_view()),
    path("studies", handing.StudiesDoor.as_view()),
    path("studies/<uuid:pk>", handing.StudyDoor.as_view()),
    path("studies/<uuid:pk>/bind", handing.BindDoor.as_view()),
    path("studies/<uuid:pk>/move", leaving.MoveDoor.as_view()),
    path("studies/<uuid:pk>/refuse", handing.RefuseStudyDoor.as_view()),
    path("images", deciding.ImagesDoor.as_view()),
    path("images/accept", deciding.AcceptManyDoor.as_view()),
    path("images/<uuid:pk>", deciding.ImageDoor.as_view()),
    path("images/<uuid:pk>/accept", deciding.AcceptDoor.as_view()),
    path("images/<uuid:pk>/refuse", deciding.RefuseDoor.as_view()),
    path("images/<uuid:pk>/recall", leaving.RecallDoor.as_view()),
    path("images/<uuid:pk>/contrast", deciding.CorrectDoor.as_view()),
    path("corrections", deciding.CorrectionsDoor.as_view()),
    path("images/<uuid:pk>/quality.png", deciding.QualityDoor.as_view()),
    path("images/<uuid:pk>/quality.html", deciding.QualityPageDoor.as_view()),
    path("images/<uuid:pk>/after.png", deciding.AfterDoor.as_view()),
    path("images/<uuid:pk>/review/<int:number>.png", deciding.ReviewDoor.as_view()),
    path("releases", deciding.ReleasesDoor.as_view()),
    path("releases/<uuid:pk>", deciding.ReleaseDoor.as_view()),
    path("releases/<uuid:pk>/validate", deciding.ValidateDoor.as_view()),
    path("releases/<uuid:pk>/manifest", deciding.ReleaseManifestDoor.as_view()),
    path("mails", deciding.DeadMailsDoor.as_view()),
    path("audit/lines", deciding.LinesDoor.as_view()),
    path("audit/verify", deciding.VerifyDoor.as_view()),
    path("requests", receiving.RequestsDoor.as_view()),
    path("requests/approve", team.ApproveManyDoor.as_view()),
    path("requests/<uuid:pk>", receiving.RequestDoor.as_view()),
    path("requests/<uuid:pk>/submit", receiving.SubmitDoor.as_view()),
    path("requests/<uuid:pk>/decide", receiving.DecideDoor.as_view()),
    path("requests/<uuid:pk>/agreement", receiving.AgreementDoor.as_view()),
    path("requests/<uuid:pk>/sign", receiving.SignDoor.as_view()),
    path("requests/<uuid:pk>/close", receiving.CloseDoor.as_view()),
    path("requests/<uuid:pk>/change", team.ChangeDoor.as_view()),
    path("requests/<uuid:pk>/withdraw", team.TakeBackDoor.as_view()),
    path("requests/<uuid:pk>/members", team.MembersDoor.as_view()),
    path("members/<uuid:pk>", team.MemberDoor.as_view()),
    path("requests/<uuid:pk>/key", team.KeyDoor.as_view()),
    path("requests/<uuid:pk>/vote", team.VoteDoor.as_view()),
    path("requests/<uuid:pk>/suspend", team.SuspendDoor.as_view()),
    path("requests/<uuid:pk>/resume", team.ResumeDoor.as_view()),
    path("requests/<uuid:pk>/revoke", team.RevokeRequestDoor.as_view()),
    path("requests/<uuid:pk>/reports", team.ReportsDoor.as_view()),
    path("requests/<uuid:pk>/renew", team.RenewDoor.as_view()),
    path("requests/<uuid:pk>/attest", team.AttestDoor.as_view()),
    path("datasets/<slug:slug>/views", team.ViewsDoor.as_view()),
    path("views/<uuid:pk>", team.ViewDoor.as_view()),
    path("datasets/<slug:slug>/level", team.LevelDoor.as_view()),
    path("datasets/<slug:slug>/votes", team.VotesDoor.as_view()),
    path("datasets/<slug:slug>/agreement", team.PublishDoor.as_view()),
    path("dangerous-acts", team.ProposalsDoor.as_view()),
    path("dangerous-acts/<uuid:pk>/second", team.SecondDoor.as_view()),
    path("entitlements", receiving.EntitlementsDoor.as_view()),
    path("entitlements/<uuid:pk>", receiving.EntitlementDoor.as_view()),
    path("entitlements/<uuid:pk>/revoke", receiving.RevokeDoor.as_view()),
    path("packages", receiving.PackagesDoor.as_view()),
    path("packages/<uuid:pk>", receiving.PackageDoor.as_view()),
    path("packages/<uuid:pk>/manifest", receiving.PackageManifestDoor.as_view()),
    path("packages/<uuid:pk>/download", receiving.DownloadDoor.as_view()),
    path("notices", leaving.NoticesDoor.as_view()),
    path("notices/<uuid:pk>/acknowledge", leaving.AcknowledgeDoor.as_view()),
    path("withdrawals", leaving.WithdrawalsDoor.as_view()),
    path("withdrawals/<uuid:pk>", leaving.WithdrawalDoor.as_view()),
    path("withdrawals/<uuid:pk>/certificate.html", leaving.CertificateDoor.as_view()),
    path("person-report", leaving.PersonReportDoor.as_view()),
    path("datasets/<slug:slug>/own", leaving.OwnDataDoor.as_view()),
    path("recalls", leaving.RecallsDoor.as_view()),
    path("recalls/<uuid:pk>", leaving.OneRecallDoor.as_view()),
    path("recalls/<uuid:pk>/certificate.html", leaving.CertificateDoor.as_view(kind="recall")),
]
urlpatterns: list[URLPattern | URLResolver] = [path("v1/", include(v1)), re_path(r"^.*$", not_found)]
