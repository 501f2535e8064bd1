"""Tests of the features stage and of gate PIT-1."""
