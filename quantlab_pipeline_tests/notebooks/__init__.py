"""Worked notebooks, as scripts that the tests run."""
