"""LEAN's minute files: their names, their bytes, and a folder of them as a source."""
