"""Captures of websocket streams: raw lines with local stamps, and a folder of them as a source."""
