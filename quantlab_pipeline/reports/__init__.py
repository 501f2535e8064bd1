"""HTML and plots: pure functions of artifacts."""
