"""Bodies of the events assets and of gate E-1."""
