"""The planted-truth experiments themselves under test."""
