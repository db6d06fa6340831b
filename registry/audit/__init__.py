"""An append-only chain of who did what: every line sealed under a key outside the database."""
