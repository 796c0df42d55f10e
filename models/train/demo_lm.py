"""Train the demo engine's language model and export it as int8 ONNX.

One command, from a checkout, in a virtual environment with torch, tokenizers, onnx, onnxruntime and numpy
(`models/train/README.md` names the versions)::

    python models/train/demo_lm.py --data FOLDER --out models/stonechat_models/demo_lm

`FOLDER/quality/*.jsonl.gz` holds one JSON object a line with `prompt`, `response`, `split` and the label fields that
the filters below read. Only sources with a permissive licence are used (`SOURCES`); rows of `split` train are trained
on, rows of `split` dev measure the loss. No row is copied into the output.

The steps, each of which leaves its result in `--work`:

1. `tokenizer.json`: byte-level BPE, trained on the training rows;
2. `checkpoint.pt`: a Llama-like decoder (RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings),
   trained on packed rows; written every few minutes, so that `--export-only` works at any time;
3. in `--out`: `model.onnx` (int8 weights, key-value cache as inputs and outputs), `tokenizer.json` and `card.toml`.

With the same rows, seed and `--steps` a run repeats; `--minutes` ends a run early by the clock (the learning rate then
decays by the clock), and the card says so. Sums on several threads differ in the last bits from machine to machine.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tokenizers
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

Row = dict[str, Any]

NAME = "stonechat-demo-lm"
VERSION = "1"
END, USER, ASSISTANT, SYSTEM = "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"
SPECIALS = [END, USER, ASSISTANT, SYSTEM]  # ids 0 to 3

# Pieces that merges never cross. Only ASCII ranges and their complements, so that every regular expression engine (the
# trainer's and Python's) cuts alike: apostrophe endings, words (any non-ASCII character counts as a letter), single
# digits, punctuation, white space (its last character goes with the word that follows), other control characters.
PIECES = (
    r"'(?:s|t|re|ve|m|ll|d)"
    r"| ?[^\x00-\x40\x5b-\x60\x7b-\x7f]+"
    r"| ?[0-9]"
    r"| ?[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]+"
    r"|[ \t\r\n]+(?![^ \t\r\n])"
    r"|[ \t\r\n]+"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+"
)

# A demo shows its answers to anyone: rows that speak of these are left out whatever their source.
UNFIT = re.compile(
    r"\b(sex\w*|porn\w*|erotic\w*|nude|naked|rape\w*|suicid\w*|self-harm|slut\w*|whore|fuck\w*|shit\w*|bitch\w*|nazi\w*"
    r"|hitler|genocide|terroris\w*|molest\w*|penis|vagina|orgasm\w*|incest|cocaine|heroin|meth)\b",
    re.IGNORECASE,
)
OPENING_MARK = re.compile(r"^(?:User|Assistant): ")
TURN_MARK = re.compile(r"\n\n(?=(?:User|Assistant): )")


@dataclass(frozen=True)
class Source:
    """One file of rows: its licence as its repository states it, which rows count, how often each is seen."""

    name: str
    licence: str
    keep: Callable[[Row], bool]
    repeat: int = 1


def _always(_row: Row) -> bool:
    return True


SOURCES = (
    Source("gsm8k_solutions", "MIT", lambda r: r.get("correct") == 1 and r.get("by") == "human"),
    Source("mtbench101_dialogues", "Apache-2.0", _always, repeat=4),
    Source("mt_bench_gpt4_scores", "Apache-2.0", lambda r: r["score"] >= 7, repeat=2),
    Source("wildbench_scores_noprompt", "Apache-2.0", lambda r: r["score"] >= 7),
    Source("expertqa_revised", "MIT", _always, repeat=2),
    Source("haluquestqa_expert", "Apache-2.0", lambda r: r.get("overall", 0) >= 3, repeat=2),
    Source("halueval2_human", "MIT", _always, repeat=2),
    Source("alce_utility", "MIT", lambda r: r["utility"] >= 3, repeat=2),
    Source("gpteacher_roleplay", "MIT", _always, repeat=3),
    Source("gpteacher_codegen", "MIT", _always),
    Source("self_instruct_seed", "Apache-2.0", _always, repeat=2),
    Source("oasst_threads", "Apache-2.0", lambda r: r.get("rank", 0) == 0, repeat=2),
    Source("mtrag_human", "Apache-2.0", _always, repeat=2),
    Source("factscore_bios", "MIT", _always),
)


@dataclass(frozen=True)
class Shape:
    """The decoder's sizes; `context` is the longest sequence it was trained on."""

    vocab: int = 4096
    dim: int = 256
    layers: int = 5
    heads: int = 8
    kv_heads: int = 4
    hidden: int = 688
    context: int = 1024
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


# --- rows -----------------------------------------------------------------------------------------------------------


def turns(prompt: str) -> list[tuple[str, str]]:
    """Split a prompt into (role mark, text): whole talks are written as `User: ...`, `Assistant: ...` paragraphs."""
    if not prompt:
        return []
    if not OPENING_MARK.match(prompt):
        return [(USER, prompt)]
    found = []
    for part in TURN_MARK.split(prompt):
        speaker, _, text = part.partition(": ")
        found.append((USER if speaker == "User" else ASSISTANT, text))
    return found


def rows(data: Path, split: str) -> Iterator[tuple[Source, list[tuple[str, str]]]]:
    """Yield (source, conversation) for every row that is kept; a conversation ends with the assistant's turn."""
    for source in SOURCES:
        seen = set()
        with gzip.open(data / "quality" / f"{source.name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                text = row["prompt"] + "\n" + row["response"]
                # Mostly ASCII: other scripts would take the small vocabulary's places and be learnt by none of them.
                if (
                    row["split"] != split
                    or not source.keep(row)
                    or not row["response"].strip()
                    or UNFIT.search(text)
                    or sum(ch > "\x7f" for ch in text) > 0.02 * len(text)
                    or text in seen
                ):
                    continue
                seen.add(text)
                yield source, [*turns(row["prompt"]), (ASSISTANT, row["response"])]


def render(conversation: list[tuple[str, str]]) -> list[str]:
    """Alternate special tokens and texts, as the demo engine's chat template does."""
    return [piece for mark, text in conversation for piece in (mark, text.strip(), END)]


def train_tokenizer(data: Path, vocab: int) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(PIECES), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIALS,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for _, conversation in rows(data, "train") for _, text in conversation)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_rows(
    data: Path, split: str, tokenizer: tokenizers.Tokenizer, seed: int, repeats: bool
) -> tuple[np.ndarray, dict[str, int]]:
    """Return all kept rows as one int32 stream, shuffled by row, and the number of distinct rows of each source."""
    special = {mark: id for mark in SPECIALS if (id := tokenizer.token_to_id(mark)) is not None}
    documents = []
    counts: dict[str, int] = {}
    for source, conversation in rows(data, split):
        ids: list[int] = []
        for piece in render(conversation):
            ids.extend([special[piece]] if piece in special else tokenizer.encode(piece).ids)
        counts[source.name] = counts.get(source.name, 0) + 1
        documents.extend([np.array(ids, dtype=np.int32)] * (source.repeat if repeats else 1))
    random.Random(seed).shuffle(documents)
    return np.concatenate(documents), counts


# --- the decoder ----------------------------------------------------------------------------------------------------


def rope_tables(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, float32 (context, head_dim / 2): pairs are (i, i + head_dim / 2), as in Llama's exports."""
    half = shape.head_dim // 2
    frequency = shape.rope_base ** (-np.arange(half) / half)
    angle = np.outer(np.arange(shape.context), frequency)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv = shape.kv_heads * shape.head_dim
        self.attention_norm = nn.RMSNorm(shape.dim, eps=shape.norm_eps)
        self.qkv = nn.Linear(shape.dim, shape.dim + 2 * kv, bias=False)
        self.out = nn.Linear(shape.dim, shape.dim, bias=False)
        self.mlp_norm = nn.RMSNorm(shape.dim, eps=shape.norm_eps)
        self.gate_up = nn.Linear(shape.dim, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        s = self.shape
        batch, length, _ = x.shape
        kv = s.kv_heads * s.head_dim
        q, k, v = self.qkv(self.attention_norm(x)).split((s.dim, kv, kv), dim=-1)
        q = rotate(q.view(batch, length, s.heads, s.head_dim).transpose(1, 2), cos, sin)
        k = rotate(k.view(batch, length, s.kv_heads, s.head_dim).transpose(1, 2), cos, sin)
        v = v.view(batch, length, s.kv_heads, s.head_dim).transpose(1, 2)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, s.dim))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.dim, eps=shape.norm_eps)
        for cos_or_sin, table in zip(("cos", "sin"), rope_tables(shape), strict=True):
            self.register_buffer(cos_or_sin, torch.from_numpy(table), persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            for layer in (block.qkv, block.gate_up):
                nn.init.normal_(layer.weight, std=0.02)
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * shape.layers))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits, (batch, length, vocab), of ids (batch, length)."""
        x = self.embedding(ids)
        cos, sin = self.cos[: ids.shape[1]].to(x.dtype), self.sin[: ids.shape[1]].to(x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        return F.linear(self.norm(x), self.embedding.weight)


# --- training -------------------------------------------------------------------------------------------------------


def windows(stream: np.ndarray, length: int, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    starts = rng.integers(0, len(stream) - length - 1, size=count)
    batch = torch.from_numpy(np.stack([stream[s : s + length + 1] for s in starts]).astype(np.int64))
    return batch[:, :-1], batch[:, 1:]


def dev_loss(model: Decoder, stream: np.ndarray, tokens: int = 65536) -> float:
    """Mean cross-entropy in nats a token over the start of the dev stream, in windows of 512."""
    losses = []
    model.eval()
    with torch.no_grad():
        for start in range(0, min(tokens, len(stream) - 513), 512):
            ids = torch.from_numpy(stream[start : start + 513].astype(np.int64))[None]
            losses.append(F.cross_entropy(model(ids[:, :-1])[0].float(), ids[0, 1:]).item())
    model.train()
    return sum(losses) / len(losses)


def schedule(progress: float) -> float:
    """Share of the peak learning rate: warm up over 2 %, stay, fall linearly to a hundredth over the last 40 %."""
    if progress < 0.02:
        return progress / 0.02
    return 1.0 if progress < 0.6 else 0.01 + 0.99 * (1 - progress) / 0.4


def train(args: argparse.Namespace, shape: Shape, tokenizer: tokenizers.Tokenizer) -> None:
    """Train from scratch and leave `checkpoint.pt` (weights, shape and the facts for the card) in `args.work`."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    stream, counts = encode_rows(args.data, "train", tokenizer, args.seed, repeats=True)
    dev, dev_counts = encode_rows(args.data, "dev", tokenizer, args.seed, repeats=False)
    rng = np.random.default_rng(args.seed)
    model = Decoder(shape)
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and not name.startswith("embedding")]
    other = [p for name, p in model.named_parameters() if p.ndim != 2 or name.startswith("embedding")]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(hidden, lr=args.muon_lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(other, lr=args.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    peaks = [args.muon_lr, args.adam_lr]
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {len(stream)} tokens, {len(dev)} dev",
        flush=True,
    )
    began = saved = time.monotonic()
    mean, seen, progress, step = 0.0, 0, 0.0, 0
    while progress < 1.0:
        elapsed = time.monotonic() - began
        progress = step / args.steps
        if args.minutes:
            progress = max(progress, elapsed / 60 / args.minutes)
        share = schedule(min(progress, 1.0))
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
        # Short windows first, for their speed (attention takes a third of the time at 512); the last tenth sees the
        # whole context.
        length = 256 if progress < 0.6 else 512 if progress < 0.9 else shape.context
        ids, targets = windows(stream, length, args.batch_tokens // length, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
            logits = model(ids)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        seen += ids.numel()
        mean += (loss.item() - mean) * max(0.02, 1 / step)
        done = progress >= 1.0
        if step % 50 == 0 or done:
            print(
                f"step {step} progress {progress:.3f} loss {mean:.3f} {elapsed:.0f} s {seen} tokens",
                flush=True,
            )
        if done or time.monotonic() - saved > 240:
            saved = time.monotonic()
            facts = {
                "steps": step,
                "tokens_seen": seen,
                "minutes": round((saved - began) / 60, 1),
                "stopped_by_clock": bool(done and step < args.steps),
                "train_loss": round(mean, 4),
                "dev_loss": round(dev_loss(model, dev), 4),
                "seed": args.seed,
                "threads": args.threads,
                "rows": counts,
                "dev_rows": dev_counts,
            }
            print(f"dev loss {facts['dev_loss']}", flush=True)
            partial = args.work / "checkpoint.tmp"
            torch.save({"model": model.state_dict(), "shape": asdict(shape), "facts": facts}, partial)
            partial.replace(args.work / "checkpoint.pt")


# --- export ---------------------------------------------------------------------------------------------------------


class GraphBuilder:
    """Builds the ONNX graph by hand: some twenty operators of opset 17, which every onnxruntime since 1.14 runs.

    Weights that are multiplied are stored as int8 with one scale a column, activations are quantized as they come
    (`DynamicQuantizeLinear`, `MatMulInteger`: onnxruntime fuses the pair). Weights keep within +-63: on x86 without
    VNNI two products of a uint8 and an int8 are summed in 16 bits, which larger weights overflow.
    """

    def __init__(self, quantize: bool) -> None:
        self.quantize = quantize
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, dtype=np.float32))

    def op(
        self, kind: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any
    ) -> Any:
        self._count += 1
        stem = name or f"{kind}_{self._count}"
        names = [stem] if outputs == 1 else [f"{stem}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def int8(self, name: str, weight: np.ndarray) -> tuple[str, str]:
        """Store float32 (columns, rows) as int8 with a scale a column; return both names."""
        scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 63
        self.constant(name + "_int8", np.rint(weight / scale[:, None]).astype(np.int8))
        return name + "_int8", self.constant(name + "_scale", scale.astype(np.float32))

    def linear(self, x: str, name: str, weight: np.ndarray) -> str:
        """`x @ weight.T` for a weight (out, in) as torch keeps it."""
        if not self.quantize:
            return self.op("MatMul", x, self.constant(name, weight.T))
        scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 63
        stored = self.constant(name + "_int8", np.rint(weight / scale[:, None]).astype(np.int8).T)
        return self.integer_product(x, stored, self.constant(name + "_scale", scale.astype(np.float32)))

    def integer_product(self, x: str, weight: str, scale: str) -> str:
        x_int, x_scale, x_zero = self.op("DynamicQuantizeLinear", x, outputs=3)
        product = self.op("Cast", self.op("MatMulInteger", x_int, weight, x_zero), to=TensorProto.FLOAT)
        return self.op("Mul", product, self.op("Mul", x_scale, scale))

    def rms_norm(self, x: str, name: str, weight: np.ndarray, eps: float) -> str:
        square = self.op("Pow", x, self.scalar("two", 2.0))
        mean = self.op("ReduceMean", square, axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.scalar("norm_eps", eps)))
        return self.op("Mul", self.op("Div", x, root), self.constant(name, weight))


def build_graph(shape: Shape, weights: dict[str, np.ndarray], quantize: bool) -> onnx.ModelProto:
    """The decoder with its cache.

    Inputs: `input_ids` int64 (1, T); `past_key_L`, `past_value_L` float32 (1, kv_heads, P, head_dim) a layer. The first
    id stands at position P. Outputs: `logits` float32 (1, vocab) of the last position; `present_key_L`,
    `present_value_L` with P + T positions.
    """
    g = GraphBuilder(quantize)
    s = shape
    kv = s.kv_heads * s.head_dim
    group = s.heads // s.kv_heads
    past = g.op(
        "Gather", g.op("Shape", "past_key_0"), g.constant("axis_2", np.array(2, dtype=np.int64)), axis=0
    )
    new = g.op(
        "Gather", g.op("Shape", "input_ids"), g.constant("axis_1", np.array(1, dtype=np.int64)), axis=0
    )
    total = g.op("Add", past, new)
    one = g.constant("one", np.array(1, dtype=np.int64))
    zero = g.constant("zero", np.array(0, dtype=np.int64))
    positions = g.op("Range", past, total, one)
    cos_table, sin_table = rope_tables(s)
    cos = g.op("Gather", g.constant("cos", cos_table), positions, axis=0)
    sin = g.op("Gather", g.constant("sin", sin_table), positions, axis=0)
    row = g.op("Unsqueeze", positions, g.ints(1))
    column = g.op("Unsqueeze", g.op("Range", zero, total, one), g.ints(0))
    allowed = g.op("LessOrEqual", column, row)
    mask = g.op("Where", allowed, g.scalar("allowed", 0.0), g.scalar("forbidden", -1e9))

    def rotated(x: str) -> str:
        first, second = g.op("Split", x, outputs=2, axis=-1)
        return g.op(
            "Concat",
            g.op("Sub", g.op("Mul", first, cos), g.op("Mul", second, sin)),
            g.op("Add", g.op("Mul", second, cos), g.op("Mul", first, sin)),
            axis=-1,
        )

    table = weights["embedding.weight"]
    if quantize:
        table_name, table_scale = g.int8("embedding", table)
        rows_int8 = g.op("Cast", g.op("Gather", table_name, "input_ids", axis=0), to=TensorProto.FLOAT)
        row_scale = g.op("Unsqueeze", g.op("Gather", table_scale, "input_ids", axis=0), g.ints(2))
        x = g.op("Mul", rows_int8, row_scale)
    else:
        x = g.op("Gather", g.constant("embedding", table), "input_ids", axis=0)
    for layer in range(s.layers):
        p = f"blocks.{layer}."
        normal = g.rms_norm(x, p + "attention_norm", weights[p + "attention_norm.weight"], s.norm_eps)
        qkv = g.linear(normal, p + "qkv", weights[p + "qkv.weight"])
        q, k, v = g.op("Split", qkv, g.ints(s.dim, kv, kv), outputs=3, axis=-1)
        by_head = [
            g.op("Transpose", g.op("Reshape", part, g.ints(1, -1, heads, s.head_dim)), perm=[0, 2, 1, 3])
            for part, heads in ((q, s.heads), (k, s.kv_heads), (v, s.kv_heads))
        ]
        query, key = rotated(by_head[0]), rotated(by_head[1])
        keys = g.op("Concat", f"past_key_{layer}", key, axis=2, name=f"present_key_{layer}")
        values = g.op("Concat", f"past_value_{layer}", by_head[2], axis=2, name=f"present_value_{layer}")
        # The heads that share keys lie side by side: one product serves them all.
        query = g.op("Reshape", query, g.ints(1, s.kv_heads, -1, s.head_dim))
        raw = g.op("MatMul", query, g.op("Transpose", keys, perm=[0, 1, 3, 2]))
        raw = g.op("Mul", raw, g.scalar("attention_scale", s.head_dim**-0.5))
        length = g.op("Unsqueeze", new, g.ints(0))
        whole = g.op("Unsqueeze", total, g.ints(0))
        split_shape = g.op("Concat", g.ints(1), g.ints(s.kv_heads), g.ints(group), length, whole, axis=0)
        scores = g.op("Softmax", g.op("Add", g.op("Reshape", raw, split_shape), mask), axis=-1)
        joined_shape = g.op("Concat", g.ints(1), g.ints(s.kv_heads), g.ints(-1), whole, axis=0)
        mixed = g.op("MatMul", g.op("Reshape", scores, joined_shape), values)
        mixed = g.op("Reshape", mixed, g.ints(1, s.heads, -1, s.head_dim))
        mixed = g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), g.ints(1, -1, s.dim))
        x = g.op("Add", x, g.linear(mixed, p + "out", weights[p + "out.weight"]))
        normal = g.rms_norm(x, p + "mlp_norm", weights[p + "mlp_norm.weight"], s.norm_eps)
        gate, up = g.op(
            "Split", g.linear(normal, p + "gate_up", weights[p + "gate_up.weight"]), outputs=2, axis=-1
        )
        swish = g.op("Mul", gate, g.op("Sigmoid", gate))
        x = g.op("Add", x, g.linear(g.op("Mul", swish, up), p + "down", weights[p + "down.weight"]))
    last = g.op("Gather", x, g.constant("last", np.array(-1, dtype=np.int64)), axis=1)
    last = g.rms_norm(last, "norm", weights["norm.weight"], s.norm_eps)
    if quantize:
        # The table serves twice: onnxruntime transposes it once, when the model is loaded.
        turned = g.op("Transpose", table_name, perm=[1, 0])
        logits = g.integer_product(last, turned, table_scale)
    else:
        logits = g.op("MatMul", last, g.op("Transpose", "embedding", perm=[1, 0]))
    g.op("Identity", logits, name="logits")

    def tensor(name: str, kind: int, *dims: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, dims)

    caches = [f"{part}_{layer}" for layer in range(s.layers) for part in ("key", "value")]
    graph = helper.make_graph(
        g.nodes,
        NAME,
        [tensor("input_ids", TensorProto.INT64, 1, "new")]
        + [tensor("past_" + c, TensorProto.FLOAT, 1, s.kv_heads, "past", s.head_dim) for c in caches],
        [tensor("logits", TensorProto.FLOAT, 1, s.vocab)]
        + [tensor("present_" + c, TensorProto.FLOAT, 1, s.kv_heads, "total", s.head_dim) for c in caches],
        list(g.constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "models/train/demo_lm.py"
    onnx.checker.check_model(model)
    return model


class Session:
    """An exported decoder, fed with ids; `feed` returns the last position's logits."""

    def __init__(self, model: onnx.ModelProto, shape: Shape) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.names = [f"{part}_{layer}" for layer in range(shape.layers) for part in ("key", "value")]
        self.empty = [np.zeros((1, shape.kv_heads, 0, shape.head_dim), dtype=np.float32) for _ in self.names]
        self.cache = self.empty

    def feed(self, ids: np.ndarray) -> np.ndarray:
        feeds: dict[str, np.ndarray] = {"input_ids": ids[None].astype(np.int64)}
        feeds.update(zip(["past_" + name for name in self.names], self.cache, strict=True))
        logits, *self.cache = self.session.run(None, feeds)
        return logits[0]


def verify(
    shape: Shape, checkpoint: dict[str, Any], float_model: Any, int8_model: Any, dev: np.ndarray
) -> Row:
    """Compare the int8 and the float export on dev text, one id at a time after a prompt of 64, as an engine does."""
    reference = Decoder(shape)
    reference.load_state_dict(checkpoint["model"])
    reference.eval()
    exact, small = Session(float_model, shape), Session(int8_model, shape)
    agree, nll_exact, nll_small, off = 0, 0.0, 0.0, 0.0
    decode_seconds, count = 0.0, 0
    for start in range(0, 8 * 512, 512):
        ids = dev[start : start + 193]
        exact.cache, small.cache = exact.empty, small.empty
        with torch.no_grad():
            truth = reference(torch.from_numpy(ids[None, :-1].astype(np.int64)))[0].numpy()
        for i in range(63, 192):
            fresh = ids[:64] if i == 63 else ids[i : i + 1]
            a = exact.feed(fresh)
            began = time.perf_counter()
            b = small.feed(fresh)
            if i > 63:
                decode_seconds += time.perf_counter() - began
            off = max(off, float(np.abs(a - truth[i]).max()))
            agree += int(a.argmax() == b.argmax())
            nll_exact += float(np.logaddexp.reduce(a) - a[ids[i + 1]])
            nll_small += float(np.logaddexp.reduce(b) - b[ids[i + 1]])
            count += 1
    return {
        "positions": count,
        "float_export_max_logit_difference_from_torch": round(off, 5),
        "top1_agreement_int8_with_float": round(agree / count, 4),
        "dev_loss_float": round(nll_exact / count, 4),
        "dev_loss_int8": round(nll_small / count, 4),
        "decode_tokens_per_second_one_thread": round((count - 8) / decode_seconds),
    }


def toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def export(args: argparse.Namespace) -> None:
    """Write `model.onnx`, `tokenizer.json` and `card.toml` from what `args.work` holds."""
    checkpoint = torch.load(args.work / "checkpoint.pt", weights_only=True)
    shape = Shape(**checkpoint["shape"])
    facts = checkpoint["facts"]
    weights = {name: tensor.float().numpy() for name, tensor in checkpoint["model"].items()}
    tokenizer = tokenizers.Tokenizer.from_file(str(args.work / "tokenizer.json"))
    dev, _ = encode_rows(args.data, "dev", tokenizer, args.seed, repeats=False)
    int8_model = build_graph(shape, weights, quantize=True)
    checks = verify(shape, checkpoint, build_graph(shape, weights, quantize=False), int8_model, dev)
    args.out.mkdir(parents=True, exist_ok=True)
    onnx.save(int8_model, str(args.out / "model.onnx"))
    tokenizer.save(str(args.out / "tokenizer.json"), pretty=False)
    files = {
        name: hashlib.sha256((args.out / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "tokenizer.json")
    }
    parameters = sum(array.size for array in weights.values())
    sources = [s for s in SOURCES if s.name in facts["rows"]]
    tables: list[tuple[str, Row]] = [
        (
            "",
            {
                "name": NAME,
                "version": VERSION,
                "kind": "language-model",
                "description": "A small Llama-like decoder for demos and tests of the agent.",
                "licence": "Apache-2.0",
                "languages": ["en"],
                "limits": "Its prose is poor and its statements are not to be trusted: for demos and tests only.",
                "parameters": parameters,
                "quantization": "int8 weights, a scale a column, activations quantized as they come",
                "max_length": shape.context,
            },
        ),
        ("[files]", {f'"{name}"': digest for name, digest in files.items()}),
        (
            "[architecture]",
            {
                "vocab": shape.vocab,
                "dim": shape.dim,
                "layers": shape.layers,
                "heads": shape.heads,
                "kv_heads": shape.kv_heads,
                "hidden": shape.hidden,
                "rope_base": shape.rope_base,
                "end": END,
                "user": USER,
                "assistant": ASSISTANT,
                "system": SYSTEM,
            },
        ),
        (
            "[training]",
            {
                key: facts[key]
                for key in ("seed", "steps", "tokens_seen", "minutes", "stopped_by_clock", "threads")
            }
            | {"machine": f"{cpu_name()}, {platform.machine()}, shared", "torch": torch.__version__}
            | {"final_train_loss": facts["train_loss"], "final_dev_loss": facts["dev_loss"]},
        ),
        ("[checks]", checks),
    ]
    tables += [
        (
            "[[source]]",
            {
                "name": source.name,
                "licence": source.licence,
                "train_rows": facts["rows"][source.name],
                "dev_rows": facts["dev_rows"].get(source.name, 0),
                "repeat": source.repeat,
            },
        )
        for source in sources
    ]
    text = "# Written by models/train/demo_lm.py: change that, not this.\n"
    for header, values in tables:
        text += (f"\n{header}\n" if header else "") + "".join(
            f"{k} = {toml_value(v)}\n" for k, v in values.items()
        )
    (args.out / "card.toml").write_text(text, encoding="utf-8")
    print(json.dumps(checks), (args.out / "model.onnx").stat().st_size, "bytes")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds quality/*.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument(
        "--work", type=Path, default=Path("build/demo_lm"), help="checkpoints (default: %(default)s)"
    )
    parser.add_argument("--export-only", action="store_true", help="export the checkpoint that --work holds")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="end by the clock if that comes first (default: no)"
    )
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.003)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument(
        "--float32", action="store_true", help="for CPUs without bfloat16, where autocast is slower"
    )
    args = parser.parse_args(argv)
    if not args.export_only:
        args.work.mkdir(parents=True, exist_ok=True)
        shape = Shape()
        tokenizer = train_tokenizer(args.data, shape.vocab)
        tokenizer.save(str(args.work / "tokenizer.json"))
        train(args, shape, tokenizer)
    export(args)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
