"""Bodies of the portfolio assets and of gate P."""
