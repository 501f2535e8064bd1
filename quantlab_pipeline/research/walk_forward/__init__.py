"""Refit inside each train window, judge outside it; gate S."""
