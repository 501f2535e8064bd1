"""Survivors executed at quotes, with latency, fees and funding; gate B."""
