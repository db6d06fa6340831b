"""Deciding: the steward's one queue, images and requests alike."""
