"""Damage to a generated market, exact in count and place: what may be asked, and how it is done."""
