"""Listening to a venue's streams and keeping every message as a capture that tells of its holes."""
