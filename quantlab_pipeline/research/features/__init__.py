"""Features that a decision may use, point in time; gate PIT-1."""
