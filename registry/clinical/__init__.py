"""I hold what was found at a visit: clinical records, checked against one dictionary that is data."""
