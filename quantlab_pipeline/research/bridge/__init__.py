"""Survivors executed in every way, the worst of those that are judged; gate B."""
