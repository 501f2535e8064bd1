"""Slow and obvious twins of what the package computes fast."""
