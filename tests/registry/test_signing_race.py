"""Signing while a material new version is published: one comes after the other, and nobody has access by a signature that no longer holds."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError, connections

from registry.access import actions as access
from registry.access.models import Entitlement, Signature
from registry.rules import Conflict

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
KEY = "age1" + "q" * 58


@pytest.mark.parametrize("first", ["sign", "publish", "both at once"])
def test_nobody_has_access_by_a_signature_that_no_longer_holds(first: str, world: Any) -> None:
    site = world.site()
    dataset = world.dataset(site)
    steward = world.steward(dataset)
    world.consent(world.participant(dataset, site), "GRU")
    request = world.request(dataset, recipient_key=KEY)
    access.approve_request(steward, request)
    wait, told = threading.Barrier(2), dict[str, str]()
    done = {"sign": threading.Event(), "publish": threading.Event()}

    def run(name: str, act: Any) -> None:
        try:
            wait.wait(20)
            if first not in (name, "both at once"):
                done[first].wait(20)
            act()
            told[name] = "done"
        except Conflict as error:
            told[name] = error.code
        except OperationalError:
            told[name] = "busy"  # SQLite: it waited too long, and nothing was changed
        finally:
            done[name].set()
            connections.close_all()

    acts = {
        "sign": lambda: access.sign_agreement(request.requester, request, 1),
        "publish": lambda: access.publish_agreement(steward, dataset, "All is other.", material=True),
    }
    threads = [threading.Thread(target=run, args=pair) for pair in acts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    if first != "both at once":
        assert told == {"publish": "done", "sign": "done" if first == "sign" else "agreement_changed"}
    elif told["publish"] == "busy":
        acts["publish"]()  # it came to nothing, as it should; said again it comes second
    alive = [one for one in Entitlement.objects.select_related("request") if one.alive]
    assert alive == [] and Signature.objects.count() == (told["sign"] == "done")
    access.sign_agreement(request.requester, request, 2)
    assert Entitlement.objects.get().alive
