"""I remember people, consent, images and decisions, and hand data out.

The only room that knows Django. From the ground up: `rules` (law), `accounts`, `runs`, `audit`, `subjects` and `consent` (facts),
`access` (who may), `imaging` and `clinical` (asked), `intake` and `releases` (acts), `api` and `portal` (roof).
"""
