"""I speak to a registry from someone's desk.

`client.api.Registry` is the typed face of a registry's HTTP API; `myelin` (or `python -m client`) is the same for a terminal. Sending and
receiving finish: each is cut into pieces that carry their own hash, is tried again when the line breaks, and goes on where it stopped.
"""
