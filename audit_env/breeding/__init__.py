"""The red team's bench: the world's grammar, the corpora sampled from it, training, and measuring.

Nothing else in the package imports this room, except the command line.
"""
