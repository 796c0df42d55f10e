"""The decoder: an ONNX session and a key-value cache that belongs to one slot.

This is the one module of the demo engine that imports numpy and onnxruntime.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stonechat_agent.demo_engine.tokenizer import Tokenizer, TokenizerError
from stonechat_models import ModelError, read_card, verify

# Since 1.29 its builds for Linux tell their maker about every session, unless this is set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

Logits = npt.NDArray[np.float32]

# Prompts are read in pieces of this many tokens, so that a client that goes away stops a long one.
BATCH_TOKENS = 128


class Cache:
    """Keys and values of the tokens that a slot has seen, and the tokens themselves."""

    def __init__(self, empty: list[Any]) -> None:
        self._empty = empty
        self.tensors = empty
        self.tokens: list[int] = []

    def common_prefix(self, prompt: Sequence[int]) -> int:
        """How many leading tokens of `prompt` are cached; at most all but one, as the last one yields the logits."""
        length = 0
        for ours, theirs in zip(self.tokens, prompt[:-1], strict=False):
            if ours != theirs:
                break
            length += 1
        return length

    def keep(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if length == len(self.tokens):
            return
        del self.tokens[length:]
        if length == 0:
            self.tensors = self._empty
            return
        self.tensors = [
            onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor.numpy()[:, :, :length]))
            for tensor in self.tensors
        ]


class LanguageModel:
    """A loaded model. Several threads may call `feed` at once, each with a cache of its own.

    Args:
        folder: `model.onnx`, `tokenizer.json` and `card.toml`, as `models/train/demo_lm.py` writes them.
        threads: threads of onnxruntime for one step.

    Raises:
        ModelError: a file is missing, differs from the card, or does not fit the others.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        verify(folder)
        self.folder = folder
        self.card = read_card(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Waiting threads sleep: a demo shares its cores with what it is watched by.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            self.tokenizer = Tokenizer.load(folder / "tokenizer.json")
            architecture = self.card["architecture"]
            self.context = int(self.card["max_length"])
            self.parameters = int(self.card["parameters"])
            self.dim = int(architecture["dim"])
            self.end, self.user, self.assistant, self.system = (
                self.tokenizer.special[architecture[role]] for role in ("end", "user", "assistant", "system")
            )
        except (TokenizerError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder}: not a demo model: {error}; see models/train/README.md") from error
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise ModelError(f"{folder / 'model.onnx'}: onnxruntime cannot load it: {error}") from error
        self._past = [tensor for tensor in self._session.get_inputs() if tensor.name.startswith("past_")]
        self._outputs = ["logits", *(tensor.name.replace("past_", "present_", 1) for tensor in self._past)]

    @property
    def file_bytes(self) -> int:
        return (self.folder / "model.onnx").stat().st_size

    def new_cache(self) -> Cache:
        return Cache(
            [
                onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, heads, 0, width), dtype=np.float32))
                for _, heads, _, width in (tensor.shape for tensor in self._past)
            ]
        )

    def feed(self, cache: Cache, tokens: Sequence[int]) -> Logits:
        """Append `tokens` (at least one) to the cache; return the last position's logits, float32 (vocabulary,)."""
        feeds = {"input_ids": onnxruntime.OrtValue.ortvalue_from_numpy(np.array([tokens], dtype=np.int64))}
        for tensor, value in zip(self._past, cache.tensors, strict=True):
            feeds[tensor.name] = value
        logits, *cache.tensors = self._session.run_with_ort_values(self._outputs, feeds)
        cache.tokens.extend(tokens)
        result: Logits = logits.numpy()[0]
        return result


class Sampler:
    """Draws tokens. Temperature 0 takes the likeliest; equal seeds draw alike."""

    def __init__(
        self, *, temperature: float, top_k: int, top_p: float, seed: int, banned: int | None
    ) -> None:
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._banned = banned
        self._rng = np.random.default_rng(seed)

    def draw(self, logits: Logits) -> int:
        if self._banned is not None:
            logits = logits.copy()
            logits[self._banned] = -np.inf
        if self._temperature <= 0:
            return int(logits.argmax())
        count = len(logits) if self._top_k <= 0 else min(self._top_k, len(logits))
        kept = np.argpartition(logits, -count)[-count:]
        kept = kept[np.argsort(-logits[kept], kind="stable")]
        scaled = (logits[kept].astype(np.float64) - float(logits[kept[0]])) / self._temperature
        weights = np.exp(scaled)
        weights /= weights.sum()
        if self._top_p < 1:
            # The token that crosses the bound is kept, so there is always one.
            cut = int(np.searchsorted(np.cumsum(weights), self._top_p)) + 1
            kept, weights = kept[:cut], weights[:cut] / weights[:cut].sum()
        return int(self._rng.choice(kept, p=weights))
