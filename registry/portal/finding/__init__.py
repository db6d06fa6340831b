"""Finding: the catalogue, the cohort builder, and pictures of what is there."""
