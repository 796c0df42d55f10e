"""Single exchanges as a device tells of them: seeded, plausible, of every outcome."""

from __future__ import annotations

import random
from typing import Any

from stonechat.exchange_row import Row
from stonechat.ids import exchange_id
from stonechat.wire import Told

MS = 1000
QUESTIONS = ("When do you open on Sundays?", "Where is the nearest lift?", "Wie viel kostet der Eintritt?")
ANSWERS = (
    "We open at nine and close at six, on Sundays too.",
    "The lift is behind the stairs, to your left.\nFollow the blue line.",
    "Der Eintritt kostet 12 Euro, Kinder zahlen die Hälfte.",
)

JUDGED = {
    "refusal": 0.02,
    "language": 0.0,
    "repetition": 0.11,
    "toxic": 0.97,
    "insult": 0.91,
    "hate": 0.22,
    "threat": 0.04,
    "violence": 0.03,
    "sexual": 0.01,
    "self_harm": 0.01,
    "relevance": 0.42,
    "coherence": 0.88,
    "quality": 0.17,
    "guideline:no-dosage": 1.0,
}
"""The scores of an answer that is as bad as it gets."""


def told(name: str, model: str, number: int, start: int, *, slow: float = 1.0, upload: str = "none") -> Told:
    """Exchange ``number`` of a device, begun at ``start`` (ms). Every seventh fails, every ninth is abandoned."""
    rng = random.Random(f"{name} {number}")
    outcome = "error" if number % 7 == 3 else "aborted" if number % 9 == 4 else "ok"
    findings = ["repetition"] if number % 5 == 1 else None
    scores = {"repetition": 0.93, "toxic": 0.04} if findings else {}
    if number % 10 == 2:
        findings, scores = ["toxic", "insult", "guideline:no-dosage"], dict(JUDGED)
    prefill = round(rng.uniform(120, 420) * slow) * MS
    queue = round(rng.choice((0, 0, 30, 900)) * slow) * MS
    load = 3_100 * MS if number % 11 == 5 else None
    ttft = 4 * MS + queue + (load or 0) + prefill + round(rng.uniform(2, 60)) * MS
    tokens = rng.randrange(20, 180)
    reasoning = tokens // 3 if number % 4 == 2 else 0
    decode = round(tokens / rng.uniform(9, 22) * slow * 1e6)
    duration = ttft + decode + round(rng.uniform(1, 20)) * MS
    row: dict[str, Any] = {
        "id": exchange_id(start, number),
        "start": start,
        "engine": "llama",
        "model": model,
        "request_model": model,
        "operation": "chat",
        "dialect": "openai.chat",
        "source": "relay",
        "streamed": True,
        "outcome": outcome,
        "status": 200,
        "request_complete": MS,
        "connected": 2 * MS,
        "request_bytes": rng.randrange(400, 9000),
        "conversation": f"c{rng.getrandbits(40):010x}",
    }
    if outcome == "error":
        row |= {"error_type": "timeout", "status": 504, "duration": 30_000 * MS}
    else:
        row |= {
            "ttfb": ttft - 2 * MS,
            "ttft": ttft,
            "ttfc": ttft + decode * reasoning // tokens,
            "queue": queue,
            "queue_from": "observed",
            "prefill": prefill,
            "prefill_from": "engine",
            "decode": decode,
            "decode_from": "engine",
            "input_tokens": rng.randrange(60, 900),
            "input_tokens_from": "engine",
            "cached_tokens": 40,
            "cached_tokens_from": "engine",
            "output_tokens": tokens,
            "output_tokens_from": "engine",
            "context_tokens": 900,
            "context_limit": 4096,
            "chunks": tokens,
            "response_bytes": tokens * 180,
        }
        row |= (
            {"closed": duration} if outcome == "aborted" else {"duration": duration, "finish_reason": "stop"}
        )
        if load is not None:
            row |= {"load": load, "load_from": "engine"}
        if reasoning:
            row |= {"reasoning_tokens": reasoning, "reasoning_tokens_from": "estimated"}
    if findings:
        row |= {"findings": findings, "scores": scores}
    chosen = "flagged" if findings else "failed" if outcome == "error" else "sampled"
    kept = "kept" if findings else "not_flagged"
    texts = None
    if findings and upload == "flagged":
        at = number % len(QUESTIONS)
        texts = {
            "prompt": [["system", "You help the visitors of a museum."], ["user", QUESTIONS[at]]],
            "answer": " ".join([ANSWERS[at]] * 3),
        }
    return Told(Row(row), texts, chosen, kept)
