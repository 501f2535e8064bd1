"""Gates tried on markets whose truth is known."""
