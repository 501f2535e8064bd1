"""Bodies of the labels assets."""
