"""Tests of the command: what a person types, sees and gets back as a code."""
