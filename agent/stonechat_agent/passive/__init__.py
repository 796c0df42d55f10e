"""What an engine says of itself: its build, its model and how that is loaded, read without disturbing it."""

from .facts import Change, Facts, Model, changes, event_attributes
from .passive import Passive, Watched, key_of

__all__ = ["Change", "Facts", "Model", "Passive", "Watched", "changes", "event_attributes", "key_of"]
