"""Tests of research labels."""
