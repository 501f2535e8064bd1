"""What each command of `quantlab` does, one module a command; `cli` only reads the command line."""
