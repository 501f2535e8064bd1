"""Events from features alone, and their quality; gate E-1."""
