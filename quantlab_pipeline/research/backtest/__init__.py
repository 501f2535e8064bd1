"""Blueprints of strategies, their returns and stress results."""
