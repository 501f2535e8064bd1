"""Tests of validation and gate V1."""
