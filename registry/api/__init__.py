"""I speak HTTP for the registry: I call acts and queries, and decide nothing."""
