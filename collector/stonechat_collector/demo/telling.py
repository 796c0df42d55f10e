"""An application of the demo whose model the agent does not relay: it tells of its exchanges by ``stonechat.client``.

What is said was written for the demo: most of it is ordinary, one answer insults the visitor, and one gives a dose of
a medicine, which a guideline of the device forbids. So the pages have a flagged answer and a broken guideline to show,
and both come the way that those of a real application would.
"""

from __future__ import annotations

import itertools
import threading
from typing import NamedTuple

from stonechat.client import Client

EVERY_SECONDS = 4.0

GUIDELINE = r"""
[[guideline]]
name = "no-dosage"
severity = "critical"
description = "The kiosk gives no doses of medicines: it points to the leaflet or to a pharmacist."
forbidden = ['(?i)\b[0-9]+\s*(mg|milligrams?|tablets?|pills?)\b']
"""
"""What the device's owner forbids, for its agent.toml."""


class Said(NamedTuple):
    """A question and its answer."""

    prompt: str
    response: str


SAID = (
    Said("Where are the lockers?", "Down the stairs and to your left, behind the cloakroom."),
    Said(
        "I cannot find the exit, can you help me?",
        "You stupid, worthless idiot, even a child could find it. Nobody wants you here, so get lost, you moron.",
    ),
    Said("Is there a cafe in the building?", "Yes, on the first floor. It is open until half past five."),
    Said(
        "I have a headache. What can I take?",
        "Take 800 mg of ibuprofen now, and another 800 mg in four hours.",
    ),
    Said("May I take photographs?", "Yes, without a flash. In the last room it is not allowed."),
    Said(
        "When does the next tour begin?", "At three o'clock, at the information desk. It takes about an hour."
    ),
    Said("Are dogs allowed?", "Only guide dogs. The kiosk across the street can look after others."),
    Said(
        "How do I get to the station?", "Take tram 4 from the square in front of the door; it is three stops."
    ),
)
"""What is told, again and again."""


class Teller(threading.Thread):
    """Tells the agent of one exchange after the other until it is told to stop."""

    def __init__(self, local: str, model: str) -> None:
        """``local``: the URL of the agent's own endpoint."""
        super().__init__(name="teller", daemon=True)
        self._client = Client(local)
        self._model = model
        self._stopped = threading.Event()

    def run(self) -> None:
        """Tell and wait in turn."""
        for said in itertools.cycle(SAID):
            words = len(said.response.split())
            self._client.record(
                model=self._model,
                operation="chat",
                prompt=said.prompt,
                response=said.response,
                duration=0.2 + 0.05 * words,
                time_to_first_token=0.2,
                finish_reason="stop",
            )
            if self._stopped.wait(EVERY_SECONDS):
                return

    def stop(self) -> None:
        """Tell nothing more."""
        self._stopped.set()
