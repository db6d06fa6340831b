"""Looking: one image, its quality, what was done to it, and its history."""
