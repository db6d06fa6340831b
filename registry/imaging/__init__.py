"""I remember every image: where its bytes lie, what was done to it, how good it is, and who accepted it."""
