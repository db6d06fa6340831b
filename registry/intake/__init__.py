"""I take in people, consent and uploads, and see every file through to a verdict."""
