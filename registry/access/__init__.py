"""Who may have what: the policy, requests, agreements and entitlements."""
