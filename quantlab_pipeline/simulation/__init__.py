"""Named models of costs and fills, the engine and the venue that apply them, and their books."""
