"""Tests of the Dagster rim, on a generated market of two symbols and five days."""
