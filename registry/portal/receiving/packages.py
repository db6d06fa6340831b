"""The pages of packages: what each entitlement gives, having it made, one package with all it holds, and its bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.access import filekinds, policy, signing
from registry.access import queries as access
from registry.access.models import Entitlement
from registry.portal.acting import found
from registry.portal.receiving.acting import ReceivingPage
from registry.releases import actions, giving, packing, queries, sealing
from registry.releases.models import Package
from registry.rules import Invalid

GIVEN_UP = (Package.State.DEAD, Package.State.FAILED)
# Why a package is dead, for people; what stands here is said beside the package's own reason.
WHY = {
    "participant_withdrawn": _("Somebody in it has left. Ask for a new package, which is without them, and delete their files as the notice says."),
    "file_recalled": _("A file in it was called back. Ask for a new package, which is without it, and delete the file as the notice says."),
    "entitlement_ended": _("Your access has come to its end."),
    "recipient_key_changed": _("You gave another key: the package for that key takes its place."),
    "obligations_grew": _("The people in it now ask more of you than its notice says. Ask for a new package."),
    "consent_denies": _("The consent of somebody in it no longer covers your use. Ask for a new package, which is without them."),
    "nobody_allowed": _("At this moment you may have nobody's data of this release."),
}
SHOWN = 200


class PackagesPage(ReceivingPage):
    """For each entitlement of one's own: what it gives, until when, and its packages, newest first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        mine = access.entitlements(self.asker).filter(user=self.asker).order_by("-starts")
        packages = list(queries.packages(self.asker).filter(entitlement__in=mine.values("pk")).order_by("-created_at"))
        rows = [self.row(one, [told(package) for package in packages if package.entitlement_id == one.pk]) for one in mine]
        rows.sort(key=lambda row: row["over"] is not None)
        return render(request, "portal/receiving/packages.html", {"rows": rows})

    def row(self, one: Entitlement, packages: list[dict[str, Any]]) -> dict[str, Any]:
        over = one.over(timezone.now()) or policy.shut(one)
        gives = queries.gives(one) if over is None else None
        has = {row["package"].release_id for row in packages if row["package"].state not in GIVEN_UP and row["gone"] is None}
        return {
            "entitlement": one,
            "over": over,
            "gives": gives,
            "key": signing.key_of(one.request, self.asker),
            "packages": packages,
            "has_newest": gives is not None and gives.release.pk in has,
        }


class BuildPage(ReceivingPage):
    """Has the holder's part of the newest release packed for their key."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        entitlement: Entitlement = found(access.entitlements(self.asker), pk=pk)
        package = actions.build_package(self.asker, entitlement)
        return self.done(_("Your package is being made. You get a mail when it is ready."), reverse("portal:package", args=[package.pk]))


class PackagePage(ReceivingPage):
    """One package: how far it is, what it holds, and how to get and open it."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        package: Package = found(queries.packages(self.asker), pk=pk)
        files = package.manifest.get("files", [])
        kinds = Counter(filekinds.of(file["path"].partition("/")[2]) for file in files)
        shown = told(package) | {
            "files": files[:SHOWN],
            "crumbs": [(reverse("portal:packages"), _("Packages"))],
            "more": max(0, len(files) - SHOWN),
            "kinds": [(filekinds.KINDS[kind], number) for kind, number in sorted(kinds.items())],
            "obligations": package.manifest.get("obligations", []),
            "mine": package.entitlement.user_id == self.asker.pk,
            "registry": settings.MYELIN_URL.rstrip("/"),
            "name": giving.name(package),
        }
        return render(request, "portal/receiving/package.html", shown)


class ProgressPage(ReceivingPage):
    """How far a package is, asked again and again by its page while it is made: a piece of that page."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        package: Package = found(queries.packages(self.asker), pk=pk)
        answer = render(request, "portal/receiving/progress.html", told(package))
        if package.state != Package.State.BUILDING:
            answer.headers["HX-Refresh"] = "true"
        return answer


class ManifestPage(ReceivingPage):
    """The signed manifest as a file."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        package: Package = found(queries.packages(self.asker), pk=pk)
        if not package.manifest:
            raise Invalid("package_not_ready", "This package is not made yet.", "Ask again in a moment.")
        body = {"manifest": package.manifest, "signature": package.signature, "key": sealing.public_key(packing.key_file())}
        headers = {"Content-Disposition": f'attachment; filename="{giving.name(package)}.manifest.json"'}
        return JsonResponse(body, headers=headers)


class DownloadPage(ReceivingPage):
    """The ciphertext, for its holder, who said their password again a moment ago. A dead package answers 410."""

    gives = True
    step_up = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        package: Package = found(queries.packages(self.asker), pk=pk)
        if package.state in GIVEN_UP:
            return render(request, "portal/receiving/gone.html", told(package), status=410)
        span = giving.span(request, package)
        if span is None:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{package.bytes}"})
        actions.start_download(self.asker, package, span[:2])
        return giving.streamed(request, package, *span)


def told(package: Package) -> dict[str, Any]:
    """A package as pages show it: how many people and files, and why it may not be read now, where it may not."""
    gone = packing.gone(package.pk) if package.state == Package.State.READY else None
    code = package.code or (gone[0] if gone else "")
    return {
        "package": package,
        "people": package.people.count(),
        "number": len(package.manifest.get("files", [])),
        "gone": gone,
        "why": WHY.get(code, ""),
        "reason": package.reason or (gone[1] if gone else ""),
        "run": queries.run_of(package) if package.state == Package.State.BUILDING else None,
    }
