"""Cost, fill, latency and funding models, and the engine that applies them."""
