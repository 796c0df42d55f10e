"""One pass of training over given rows, and judging rows with what came of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from . import batches
from .batches import Example, Floats
from .encoder import Encoder
from .rows import Row
from .sources import HEADS

#: Labels are not certain: 0 and 1 are learnt as this and 1 minus this.
SMOOTHING = 0.02
_WARM_UP = 0.06
_SECONDS_BETWEEN_CHECKPOINTS = 240.0
_LOGGED_EVERY = 50
#: A text of more windows than this is judged by so many of them, evenly spread.
_MOST_WINDOWS = 4


Log = Callable[[str], None]


def tokenizer_of(base: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encoded(tokenizer: Tokenizer, rows: Sequence[Row]) -> list[tuple[list[int], list[int]]]:
    """Token numbers of each row's prompt and response, without special tokens."""
    texts = [text for row in rows for text in (row.prompt[-2000:], row.response[:20_000])]
    ids = [found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)]
    return list(zip(ids[::2], ids[1::2], strict=True))


def sources_with_offsets(rows: Sequence[Row]) -> tuple[dict[str, int], torch.Tensor]:
    """A number for each source, and for each source and head whether its labels are of both kinds.

    Only there is a source's own bias told apart from the head.
    """
    numbers: dict[str, int] = {}
    seen: dict[tuple[int, int], set[bool]] = defaultdict(set)
    for row in rows:
        number = numbers.setdefault(row.source, len(numbers))
        for head, value in row.labels.items():
            seen[number, HEADS.index(head)].add(value >= 0.5)
    both = torch.zeros(len(numbers), len(HEADS))
    for (number, at), kinds in seen.items():
        both[number, at] = float(len(kinds) == 2)
    return numbers, both


def fit(
    rows: Sequence[Row],
    *,
    base: Path,
    checkpoint: Path,
    seed: int,
    rate: float,
    log: Log,
    offsets: bool = True,
) -> Encoder:
    """An encoder that has seen each of `rows` once, in their order but for the grouping by length.

    `checkpoint` is written every few minutes and at the end; where it is there already, training goes on from it.
    """
    torch.manual_seed(seed)
    rng = Random(seed)
    numbers, both = sources_with_offsets(rows)
    tokens = encoded(tokenizer_of(base), rows)
    examples = [
        batches.training_example(row, *tokens[at], rng, source=numbers[row.source], tied=_with_next(rows, at))
        for at, row in enumerate(rows)
    ]
    del tokens
    planned = batches.grouped(examples, rng)
    model = Encoder(len(numbers))
    model.load_base(base)
    optimizer = torch.optim.AdamW(model.learning(rate), betas=(0.9, 0.98), fused=True)
    steps = len(planned)
    warm = max(1, int(steps * _WARM_UP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / (steps - warm)))
    )
    first = 0
    if checkpoint.is_file():
        held = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        schedule.load_state_dict(held["schedule"])
        first = int(held["step"])
        log(f"going on from step {first} of {steps}")
    model.train()
    started = saved = time.monotonic()
    total, cells, done = 0.0, 0, 0
    for step in range(first, steps):
        loss, known = _loss(model, planned[step], both if offsets else torch.zeros_like(both))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        total, cells, done = (
            total + loss.item() * len(planned[step]),
            cells + known,
            done + len(planned[step]),
        )
        now = time.monotonic()
        if (step + 1) % _LOGGED_EVERY == 0:
            log(
                f"step {step + 1} of {steps}: loss {total / cells:.4f}, {done / (now - started):.0f} rows/s, "
                f"{(steps - step) * (now - started) / (step + 1 - first) / 60:.0f} minutes left"
            )
        if now - saved > _SECONDS_BETWEEN_CHECKPOINTS or step + 1 == steps:
            saved = now
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            part = checkpoint.with_suffix(".part")
            torch.save(state, part)
            part.replace(checkpoint)
    return model.eval()


def _with_next(rows: Sequence[Row], at: int) -> bool:
    return bool(rows[at].pair) and at + 1 < len(rows) and rows[at].pair == rows[at + 1].pair


def _loss(model: Encoder, examples: Sequence[Example], both: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Binary cross entropy over what is known, summed over heads, mean over rows; and how many labels are known."""
    batch = batches.stacked(examples)
    labels = torch.from_numpy(batch.labels)
    known = ~labels.isnan()
    wanted = labels.nan_to_num().clamp(SMOOTHING, 1 - SMOOTHING)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*map(torch.from_numpy, (batch.ids, batch.types, batch.mask)))
    sources = torch.from_numpy(batch.sources)
    logits = logits + model.offsets(sources) * both[sources]
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (each * known).sum() / len(examples), int(known.sum())


Forward = Callable[[batches.Batch], Floats]


def torch_forward(model: Encoder) -> Forward:
    def forward(batch: batches.Batch) -> Floats:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return model(*map(torch.from_numpy, (batch.ids, batch.types, batch.mask))).numpy()

    return forward


def judge(forward: Forward, tokenizer: Tokenizer, rows: Sequence[Row]) -> Floats:
    """Logits of every row, shape (rows, heads), over the windows of long answers."""
    examples: list[Example] = []
    owners: list[int] = []
    for at, (row, (prompt, answer)) in enumerate(zip(rows, encoded(tokenizer, rows), strict=True)):
        found = batches.judged_examples(row, prompt, answer, _MOST_WINDOWS)
        examples += found
        owners += [at] * len(found)
    order = sorted(range(len(examples)), key=lambda at: len(examples[at]))
    logits = np.zeros((len(examples), len(HEADS)), dtype=np.float32)
    for start in range(0, len(order), batches.MOST_ROWS):
        ats = order[start : start + batches.MOST_ROWS]
        logits[ats] = forward(batches.stacked([examples[at] for at in ats]))
    return batches.over_windows(logits, owners, len(rows))
