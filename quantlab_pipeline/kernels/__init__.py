"""Numba kernels: arrays in, arrays out. Nothing of ours is imported here."""
