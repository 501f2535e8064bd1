"""Bars, funding, open interest, top of book, basis, QA report and universe; gate D0."""
