"""The root of the registry's models: every fact has a random UUID as its key, so that a key tells nothing and can be shown in the API."""

from __future__ import annotations

import uuid

from django.db import models


class Fact(models.Model):
    """A row with a random key and the time it was written."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
