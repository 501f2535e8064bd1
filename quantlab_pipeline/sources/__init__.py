"""Where raw bytes come from, and how each source's format becomes a typed table."""
