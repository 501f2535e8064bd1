"""The pipeline, in the order of its imports: market_data, features | labels, events, validation,
bridge, backtest, walk_forward, portfolio, atlas.
"""
