"""Scoring in a process of its own: `keeper.Keeper` is the agent's side of it, ``python -m`` of this package the other.

Nothing is imported here: the two sides need different things, and each has to stay small.
"""
