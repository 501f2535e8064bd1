"""Tests of the portfolio stage and gate P."""
