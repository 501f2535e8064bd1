"""Bodies of the walk_forward assets and of gate S."""
