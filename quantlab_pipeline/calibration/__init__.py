"""Planted-truth experiments on our own gates, in memory through the stage functions."""
