"""Blueprints of strategies: returns, trades, risk, stresses, and what assumptions are worth."""
