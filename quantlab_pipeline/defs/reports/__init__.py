"""Bodies of the reports assets."""
