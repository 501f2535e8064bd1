"""Bodies of the features assets and of gate PIT-1."""
