"""What each participant agreed to, as events that are never changed."""
