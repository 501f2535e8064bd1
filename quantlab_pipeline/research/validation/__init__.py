"""Candidate edges, tested: features, events and labels first meet here; gate V1."""
