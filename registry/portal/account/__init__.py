"""Signing in with more than a password: second factors, recovery codes, other identity providers, invitations."""
