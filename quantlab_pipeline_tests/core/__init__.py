"""Tests of the project's words."""
