"""Bodies of the market_data assets and of gate D0."""
