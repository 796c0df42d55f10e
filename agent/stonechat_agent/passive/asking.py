"""Which of its endpoints an engine is asked, and in which order: nothing else is ever asked.

Chosen so that reading neither wakes, loads, blocks nor keeps awake an engine:

===========  ========================  =======================================================================
engine       endpoints                 why these are harmless
===========  ========================  =======================================================================
llama.cpp    /props, /v1/models        answered by the server's HTTP threads out of what is known already; do
                                       not wake it and are exempt from its idle timer (README.md, "Sleeping on
                                       Idle"); asked without ``model=``, so that a router loads nothing
             /slots                    wakes and resets the idle timer: only while a request is under way
             /metrics                  never: each read restarts the averages that others see
Ollama       /api/version, /api/ps     read no file and touch no model's ``keep_alive``
             /api/tags                 reads the small manifests of the models on the disk, and loads none
LM Studio    /api/v0/models            a list; only requests for answers load models
vLLM         /version, /v1/models      answered by the front end without the engine
mlx_lm       /v1/models                looks into the folder of models: once each time the engine comes up
===========  ========================  =======================================================================

An engine that is not known yet is asked the endpoints that tell the kinds apart, the likely kind for its port first.
"""

from __future__ import annotations

from collections.abc import Callable

from . import parsers
from .facts import Facts
from .get import NoAnswer, Unusable
from .parsers import Answer

Get = Callable[[str], Answer]
"""Asks one path. Raises ``NoAnswer``."""

PATHS = frozenset(
    {"/props", "/v1/models", "/slots", "/api/version", "/api/ps", "/api/tags", "/api/v0/models", "/version"}
)
_BY_PORT = {11434: "ollama", 1234: "lmstudio", 8000: "vllm"}


def ask(get: Get, port: int, kind: str | None = None) -> Facts:
    """Return what an engine says of itself.

    Args:
        kind: what the engine is, where that is known: then nothing else is looked for.

    Raises:
        NoAnswer: it is not there, did not answer in time, or (``Unusable``) is not of that kind.
    """
    if kind is not None:
        facts = _of_kind(get, kind)
        if facts is None:
            raise Unusable(f"not a {kind} any more")
        return facts
    likely = _BY_PORT.get(port)
    for tried in sorted(_KINDS, key=lambda name: name != likely):
        facts = _of_kind(get, tried)
        if facts is not None:
            return facts
    return parsers.other(_tried(get, "/v1/models"))


def _llamacpp(get: Get) -> Facts | None:
    props = _tried(get, "/props")
    if not parsers.is_llamacpp(props):
        return None
    models = _tried(get, "/v1/models") if props.status == 200 else None
    return parsers.llamacpp(props, models)


def _ollama(get: Get) -> Facts | None:
    version = _tried(get, "/api/version")
    facts = parsers.ollama(version, None)
    if facts is None:
        return None
    return parsers.ollama(version, _tried(get, "/api/ps"), _tried(get, "/api/tags"))


def _vllm(get: Get) -> Facts | None:
    version = _tried(get, "/version")
    return parsers.vllm(version, _tried(get, "/v1/models")) if version.mapping() else None


def _lmstudio(get: Get) -> Facts | None:
    return parsers.lmstudio(_tried(get, "/api/v0/models"))


_KINDS: dict[str, Callable[[Get], Facts | None]] = {
    "llama.cpp": _llamacpp,
    "ollama": _ollama,
    "vllm": _vllm,
    "lmstudio": _lmstudio,
}


def _of_kind(get: Get, kind: str) -> Facts | None:
    looked = _KINDS.get(kind)
    return looked(get) if looked is not None else parsers.other(_tried(get, "/v1/models"))


def _tried(get: Get, path: str) -> Answer:
    """The answer; one that cannot be read counts as "not found", and ends nothing."""
    try:
        return get(path)
    except NoAnswer as error:
        if not isinstance(error, Unusable):
            raise
        return Answer(0, "", b"")
