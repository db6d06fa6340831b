"""The people whose scans we hold, by code and label only, and the vault of who they are."""
