"""What the journal costs: exchanges a second, bytes in the file, and bytes written to the disk.

    python bench/journal.py [--exchanges N]

Writes N exchanges (default 3000) of one model with all their figures and, as the policy says, texts of 60 to 340 words
whose frequencies follow Zipf's law (seeded). Once as fast as they come, for the rate; once each in a commit of its own,
and once in commits of as many as come within the journal's longest batch, for the bytes written: those of its log and
of its checkpoints, over the time that so many exchanges take where ten come in a minute. The journal goes from the
former to the latter as soon as it has written more than its pace allows. Redaction is not part of it.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time

from stonechat.exchange import Exchange, Operation, Outcome, Provenance, Quantity
from stonechat.ids import exchange_id
from stonechat.transcript import Transcript, Turn
from stonechat_agent.journal import FILE, Journal, journal

PER_MINUTE = 10
TARGET = 2000  # bytes a second of the whole agent
START_MS = 1_790_000_000_000


def exchanges(count: int, *, flagged: float) -> list[Exchange]:
    rng = random.Random(1)
    letters = "etaoinshrdlucmfw"
    words = ["".join(rng.choices(letters, k=rng.randrange(2, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]

    def text(least: int, most: int) -> str:
        return " ".join(rng.choices(words, weights, k=rng.randrange(least, most)))

    made = []
    for n in range(count):
        at = n * 60_000_000_000 // PER_MINUTE
        made.append(
            Exchange(
                "llama",
                id=exchange_id(START_MS + at // 1_000_000, rng.getrandbits(22)),
                wall_ms=START_MS + at // 1_000_000,
                conversation=f"c-{n // 5:012d}",
                user=f"u-{rng.randrange(20):012d}",
                operation=Operation.CHAT,
                dialect="openai.chat",
                request_model="llama-3.2-3b",
                response_model="llama-3.2-3b",
                streamed=True,
                outcome=Outcome.OK,
                status=200,
                finish_reason="stop",
                accepted_ns=at,
                request_complete_ns=at + 1_000_000,
                connected_ns=at + 1_500_000,
                first_byte_ns=at + 200_000_000,
                first_token_ns=at + 210_000_000,
                first_content_ns=at + 210_000_000,
                last_byte_ns=at + 3_000_000_000,
                prefill_duration=Quantity(190_000_000, Provenance.ENGINE),
                decode_duration=Quantity(2_790_000_000, Provenance.ENGINE),
                input_tokens=Quantity(rng.randrange(40, 900), Provenance.ENGINE),
                output_tokens=Quantity(rng.randrange(20, 400), Provenance.ENGINE),
                request_bytes=2000,
                response_bytes=30_000,
                chunks=200,
                scores={"repetition": 0.12, "empty": 0.0},
                findings=("repetition",) if rng.random() < flagged else (),
                transcript=Transcript([Turn("user", text(10, 100))], answer=text(50, 240)),
            )
        )
    return made


def run(made: list[Exchange], policy: str, *, together: int) -> tuple[float, int, int]:
    """Seconds, bytes of the file and bytes written, by the journal's own count."""
    journal.BATCH_ENTRIES = together
    journal.BATCH_SECONDS = journal.SLOW_BATCH_SECONDS = 60.0
    with tempfile.TemporaryDirectory() as directory:
        one = Journal(
            directory,
            max_size=64 << 20,
            max_age_ns=1 << 62,
            texts=policy,
            sample=0.0,
            redact=lambda transcript: transcript,
            random=random.Random(2).random,
        )
        one.start()
        began = time.perf_counter()
        for number, exchange in enumerate(made, 1):
            one.put(exchange)
            while number % together == 0 and one.stats().waiting:
                time.sleep(0.0005)
        one.stop(60)
        seconds = time.perf_counter() - began
        assert not one.losses, one.losses
        return seconds, os.stat(os.path.join(directory, FILE)).st_size, one.stats().written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, default=3000)
    count = parser.parse_args().exchanges
    longest = round(journal.SLOW_BATCH_SECONDS * PER_MINUTE / 60)
    print(
        f"{'texts kept':<20}{'exchanges/s':>12}{'bytes each':>12}{'written B/s: alone':>20}{f'{longest} together':>14}"
    )
    for policy, flagged, name in (
        ("none", 0.0, "none"),
        ("flagged", 0.02, "flagged, 2 % are"),
        ("all", 0.0, "all"),
    ):
        made = exchanges(count, flagged=flagged)
        seconds, size, _ = run(made, policy, together=64)
        paces = [run(made, policy, together=n)[2] / (count * 60 / PER_MINUTE) for n in (1, longest)]
        print(f"{name:<20}{count / seconds:>12.0f}{size / count:>12.0f}{paces[0]:>20.0f}{paces[1]:>14.0f}")
    print(f"written at {PER_MINUTE} exchanges a minute; the whole agent's target is {TARGET} B/s")


if __name__ == "__main__":
    main()
