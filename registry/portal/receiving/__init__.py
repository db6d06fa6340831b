"""Receiving: a request as a story, agreements, packages, notices and renewals."""
