"""What happened after each instant. The only table that holds the future."""
