"""Bodies of the validation assets and of gate V1."""
