"""The judge as an ONNX graph, built by hand from its weights: float32, or int8 with activations quantized as they come.

Operators of opset 20, which every onnxruntime since 1.17 runs. Inputs `input_ids`, `attention_mask` and
`token_type_ids`, int64 (rows, tokens); output `logits`, float32 (rows, heads).

int8: what is multiplied has one scale for each output, the word table one for each word. Activations are quantized with
`DynamicQuantizeLinear`, the products are `MatMulInteger`, and onnxruntime fuses the pair. Heads, positions and norms
stay float32: they are small, and the heads decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LOGITS = "logits"
_OPSET, _IR = 20, 9
#: Weights keep within this: two products of a uint8 and an int8 are summed in 16 bits on x86 without VNNI, which larger
#: weights overflow.
REACH = 63


class _Graph:
    def __init__(self, quantized: bool, reach: int) -> None:
        self._quantized = quantized
        self._reach = reach
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, value: Any, kind: Any = np.float32) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value, dtype=kind), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant("ints_" + "_".join(map(str, values)), values, np.int64)

    def op(self, kind: str, *inputs: str, outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        stem = name or f"{kind}_{len(self.nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def _int8(self, weight: Floats) -> tuple[NDArray[np.int8], Floats]:
        """(outputs, inputs) as whole numbers, and the scale of each output."""
        scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / self._reach
        return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)

    def table(self, name: str, weight: Floats, ids: str) -> str:
        """The rows of `weight` that `ids` name."""
        if not self._quantized:
            return self.op("Gather", self.constant(name, weight), ids)
        # Nothing is multiplied in whole numbers here, so all of the range is of use.
        scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127
        numbers = self.constant(f"{name}_int8", np.rint(weight / scale[:, None]), np.int8)
        rows = self.op("Cast", self.op("Gather", numbers, ids), to=TensorProto.FLOAT)
        scales = self.op("Gather", self.constant(f"{name}_scale", scale), ids)
        return self.op("Mul", rows, self.op("Unsqueeze", scales, self.ints(-1)))

    def linear(self, x: str, name: str, weight: Floats, bias: Floats) -> str:
        """`x @ weight.T + bias`, the weight (outputs, inputs) as torch keeps it."""
        if self._quantized:
            numbers, scale = self._int8(weight)
            whole, step, zero = self.op("DynamicQuantizeLinear", x, outputs=3)
            product = self.op("MatMulInteger", whole, self.constant(f"{name}_int8", numbers.T, np.int8), zero)
            factor = self.op("Mul", step, self.constant(f"{name}_scale", scale))
            product = self.op("Mul", self.op("Cast", product, to=TensorProto.FLOAT), factor)
        else:
            product = self.op("MatMul", x, self.constant(name, weight.T))
        return self.op("Add", product, self.constant(f"{name}_bias", bias))

    def norm(self, x: str, name: str, weights: Weights) -> str:
        scale, bias = (
            self.constant(f"{name}.{kind}", weights[f"{name}.{kind}"]) for kind in ("weight", "bias")
        )
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)


def build(
    weights: Weights,
    *,
    attention_heads: int,
    paired: Sequence[int],
    cosine_scale: float,
    positions: int,
    quantized: bool,
    reach: int = REACH,
) -> onnx.ModelProto:
    """The graph for the weights of `encoder.Encoder`, by their names there.

    Args:
        paired: columns of the heads that prompt and answer decide together.
        cosine_scale: of the cosine of the two, as a feature.
        positions: tokens of the longest row that it takes.
    """
    g = _Graph(quantized, reach)
    ids, mask, types = INPUTS
    width = weights["norm.weight"].shape[0]
    count = weights["heads.bias"].shape[0]
    column = g.op("Unsqueeze", types, g.ints(2))
    row = g.op("Unsqueeze", types, g.ints(1))
    seen = g.op(
        "And",
        g.op("Equal", column, row),
        g.op("Unsqueeze", g.op("Cast", mask, to=TensorProto.BOOL), g.ints(1)),
    )
    hidden = g.op(
        "Where", g.op("Unsqueeze", seen, g.ints(1)), g.constant("zero", 0.0), g.constant("hidden", -1e4)
    )
    one, first, second = (
        g.constant(name, value, np.int64) for name, value in (("one", 1), ("first", 0), ("second", 1))
    )
    length = g.op("Squeeze", g.op("Shape", ids, start=1, end=2), g.ints(0))
    of_answer = g.op("Sub", g.op("CumSum", types, second), one)
    places = g.op("Where", g.op("Equal", types, one), of_answer, g.op("Range", first, length, one))
    x = g.op(
        "Add", g.table("words", weights["words.weight"], ids), g.constant("side", weights["types.weight"][0])
    )
    x = g.op("Add", x, g.op("Gather", g.constant("places", weights["places.weight"][:positions]), places))
    x = g.norm(x, "norm", weights)
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    for at in range(layers):
        x = _layer(g, x, hidden, f"layers.{at}", weights, width, attention_heads)
    answer = g.op("Unsqueeze", g.op("Cast", g.op("Mul", types, mask), to=TensorProto.FLOAT), g.ints(2))
    prompt = g.op("Mul", g.op("Sub", one, types), mask)
    prompt = g.op("Unsqueeze", g.op("Cast", prompt, to=TensorProto.FLOAT), g.ints(2))
    mean, asked = _mean(g, x, answer), _mean(g, x, prompt)
    outside = g.op("Mul", g.op("Sub", answer, g.constant("whole", 1.0)), g.constant("far", 1e4))
    highest = g.op("ReduceMax", g.op("Add", x, outside), g.ints(1), keepdims=0)
    scores = g.op(
        "MatMul", g.op("Concat", mean, highest, axis=1), g.constant("heads", weights["heads.weight"].T)
    )
    both = g.op("Mul", _direction(g, mean), _direction(g, asked))
    # The cosine is the sum of the products: its weight is one that all of them share.
    weight = weights["pair.weight"][:, :-1] * width + weights["pair.weight"][:, -1:] * cosine_scale
    spread = np.zeros((width, count), dtype=np.float32)
    spread[:, list(paired)] = weight.T
    there = g.op("Greater", g.op("ReduceSum", prompt, g.ints(1), keepdims=0), g.constant("specials", 2.0))
    alike = g.op(
        "Mul", g.op("MatMul", both, g.constant("pair", spread)), g.op("Cast", there, to=TensorProto.FLOAT)
    )
    scores = g.op("Add", scores, g.constant("heads_bias", weights["heads.bias"]))
    g.op("Add", scores, alike, name=LOGITS)
    graph = helper.make_graph(
        g.nodes,
        "judge",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in INPUTS],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["rows", count])],
        list(g.constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    model.producer_name = "train.judges.export"
    onnx.checker.check_model(model)
    return model


def _mean(g: _Graph, x: str, side: str) -> str:
    total = g.op("ReduceSum", g.op("Mul", x, side), g.ints(1), keepdims=0)
    return g.op("Div", total, g.op("ReduceSum", side, g.ints(1), keepdims=0))


def _direction(g: _Graph, x: str) -> str:
    return g.op("Div", x, g.op("ReduceL2", x, g.ints(1), keepdims=1))


def _layer(g: _Graph, x: str, hidden: str, name: str, weights: Weights, width: int, heads: int) -> str:
    def linear(x: str, part: str) -> str:
        return g.linear(x, f"{name}.{part}", *scaled(part))

    def scaled(part: str) -> tuple[Floats, Floats]:
        weight, bias = (weights[f"{name}.{part}.{kind}"] for kind in ("weight", "bias"))
        if part != "qkv":
            return weight, bias
        # Attention's division by the root of a head's width, done once in what makes the queries.
        factor = np.ones(3 * width, dtype=np.float32)
        factor[:width] = (width // heads) ** -0.5
        return weight * factor[:, None], bias * factor

    apart = g.op("Reshape", linear(x, "qkv"), g.ints(0, 0, 3 * heads, width // heads))
    query, key, value = g.op(
        "Split", g.op("Transpose", apart, perm=[0, 2, 1, 3]), g.ints(heads, heads, heads), outputs=3, axis=1
    )
    match = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
    share = g.op("Softmax", g.op("Add", match, hidden), axis=-1)
    mixed = g.op("Transpose", g.op("MatMul", share, value), perm=[0, 2, 1, 3])
    mixed = linear(g.op("Reshape", mixed, g.ints(0, 0, width)), "out")
    x = g.norm(g.op("Add", x, mixed), f"{name}.norm_attended", weights)
    inner = linear(g.op("Gelu", linear(x, "up")), "down")
    return g.norm(g.op("Add", x, inner), f"{name}.norm_out", weights)


def without_words(weights: Weights, kept: Sequence[int]) -> dict[str, Floats]:
    """The weights for a vocabulary of the words `kept` alone, in that order."""
    return {**weights, "words.weight": weights["words.weight"][list(kept)]}
