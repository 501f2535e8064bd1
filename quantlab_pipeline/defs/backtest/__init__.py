"""Bodies of the backtest assets."""
