"""Nothing to look at here: consents belong to participants, so they are shown by the policy's own pages and API alone."""
