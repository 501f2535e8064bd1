"""Tests of the walk-forward stage and gate S."""
