"""Tests of research events."""
