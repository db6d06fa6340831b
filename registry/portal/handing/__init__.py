"""Handing in: files of any number and size, what became of each, and what waits for the contributor."""
