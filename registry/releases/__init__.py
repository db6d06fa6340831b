"""I freeze what was accepted, hand it to those who may have it, and carry departures through."""
