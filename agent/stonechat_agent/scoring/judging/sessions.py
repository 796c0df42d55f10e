"""ONNX graphs on the CPU: opened small, checked against what a card says of them, and run.

With `tokens` and `glance`, these are the modules that load numpy and onnxruntime.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
}
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


class GraphError(Exception):
    """A graph that cannot be used: the message says why, as the rest of a sentence about its file."""


class Graph:
    """An open graph. Several threads may run it at once; each run uses the threads that it was opened with."""

    def __init__(self, path: Path, threads: int) -> None:
        """
        Raises:
            GraphError: onnxruntime is not installed, or cannot open the file.
        """
        # Since 1.29 its builds for Linux tell their maker about every session, unless this is set before the import.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        try:
            import onnxruntime
        except ImportError as error:
            raise GraphError(f"needs onnxruntime, which cannot be imported: {error}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # what is wrong comes back as an exception
        # An arena keeps the most that a run ever needed. Rows here are small and runs seldom: memory goes back instead.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Threads that wait by spinning take the core from the language model.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        # Its exceptions share no base but this one; each names what is wrong with the file.
        except Exception as error:
            raise GraphError(
                f"cannot be opened by onnxruntime {onnxruntime.__version__}: {_short(error)}"
            ) from error
        self._inputs = {node.name: node.type for node in self._session.get_inputs()}
        self._outputs = {node.name: node for node in self._session.get_outputs()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it has to be fed with."""
        return tuple(self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""
        return tuple(self._outputs)

    def check(self, inputs: tuple[str, ...], outputs: Mapping[str, int | None]) -> None:
        """Compare with what a card says.

        Args:
            inputs: names of all that will be fed.
            outputs: width of each output, (rows, width), by name; None for any.

        Raises:
            GraphError: with all that differs.
        """
        faults = [
            f'has no input "{name}" (it has {self._named(self._inputs)})'
            for name in inputs
            if name not in self._inputs
        ]
        faults += [
            f'needs an input "{name}", which the card does not name'
            for name in self._inputs
            if name not in inputs
        ]
        faults += [
            f'takes {self._inputs[name]} as "{name}"'
            for name in inputs
            if name in self._inputs and self._inputs[name] not in _DTYPES
        ]
        for name, width in outputs.items():
            node = self._outputs.get(name)
            if node is None:
                faults.append(f'has no output "{name}" (it has {self._named(self._outputs)})')
                continue
            shape = list(node.shape)
            if node.type not in _FLOATS or (shape and len(shape) != 2):
                faults.append(f'gives {node.type} {shape} as "{name}"; expected floats, (rows, columns)')
            elif shape and width is not None and isinstance(shape[1], int) and shape[1] != width:
                faults.append(f'gives {shape[1]} columns as "{name}", and the card names {width} labels')
        if faults:
            raise GraphError("; ".join(faults))

    def run(self, feed: Tensors, outputs: tuple[str, ...]) -> list[NDArray[np.float32]]:
        """Return the outputs, in the order of their names, as float32.

        Raises:
            GraphError: the run failed.
        """
        given = {
            name: tensor.astype(_DTYPES[self._inputs[name]], copy=False) for name, tensor in feed.items()
        }
        try:
            results = self._session.run(list(outputs), given)
        except Exception as error:
            raise GraphError(f"fails when it runs: {_short(error)}") from error
        return [np.asarray(result, dtype=np.float32) for result in results]

    @staticmethod
    def _named(names: Mapping[str, Any]) -> str:
        return ", ".join(f'"{name}"' for name in names) or "none"


def _short(error: Exception) -> str:
    """One line of what onnxruntime says."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
