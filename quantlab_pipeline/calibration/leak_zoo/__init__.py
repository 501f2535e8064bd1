"""The leak zoo (PT-06): what people do by accident, and the honest way to the same end.

Belongs here: features that see what nobody could know yet, or further back than they declare, each
written as one would write it in good faith, and its twin. `bars`, `samples`, `stamps`,
`derivatives`, `crowd` and `recursions` hold the animals, `market` the land they live in, `zoo` what
gate PIT-1 made of them. The house's laws on joins do not hold here: to break them is the purpose.
"""
