"""How many people there are of a kind, told so that nobody is found by it."""
