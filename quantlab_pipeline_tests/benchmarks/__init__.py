"""Speed as ratios: our kernels against a floor or a peer in the same run, on a quiet machine.

Run by `make bench`, never with the tests. A ratio under 1.3 is a tie.
"""
