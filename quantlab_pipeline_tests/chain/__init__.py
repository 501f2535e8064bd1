"""The whole chain, from raw files to the board, as a person would run it."""
