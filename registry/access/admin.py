"""Nothing to look at here: requests and entitlements name participants, so they are shown by the policy's own pages and API alone."""
