"""Bodies of the bridge assets and of gate B."""
