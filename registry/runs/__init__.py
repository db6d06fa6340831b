"""The ledger of runs: who does what, since when, and what came of it."""
