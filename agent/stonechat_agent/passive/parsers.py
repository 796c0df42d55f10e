"""What the engines' own endpoints say: bytes of an answer in, facts out. Pure.

Every field is optional and of any type: engines differ from build to build. What is not there, or not what it should
be, is unknown. Names come from strangers' files, so only identifiers pass, and of a path only its last part.

Sources: llama.cpp ``tools/server`` (README.md, server-context.cpp, server-models.cpp); Ollama ``docs/api.md``;
LM Studio's REST API v0; vLLM's OpenAI-compatible server; mlx_lm ``server.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from stonechat.ids import model_name

from .facts import MOST_MODELS, Facts, Model

_MOST = 1 << 53
_DIGITS = 16
_QUANTIZATION = re.compile(r"[A-Za-z0-9._:+-]{1,32}", re.ASCII)
_BPW = re.compile(r" - [0-9.]+ bpw\b.*", re.ASCII)
_SIZES = {" - Small": "_S", " - Medium": "_M", " - Large": "_L"}


class Answer(NamedTuple):
    """An engine's answer to one question."""

    status: int
    server: str
    """The header ``Server``, in lower case; "" where there is none."""
    body: bytes

    def content(self) -> Any:
        """The JSON of the body; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def mapping(self) -> Mapping[str, Any]:
        """The JSON object of a body that came with status 200; empty where there is none."""
        return _mapping(self.content()) if self.status == 200 else {}


def is_llamacpp(props: Answer) -> bool:
    """Whether the answer to ``/props`` is a llama.cpp server's, or a fork's."""
    if props.server.startswith("llama.cpp"):
        return True
    found = props.mapping()
    return "build_info" in found or isinstance(found.get("default_generation_settings"), Mapping)


def is_loading(answer: Answer) -> bool:
    """Whether a llama.cpp server says that it is still loading its model."""
    error = _mapping(_mapping(answer.content()).get("error"))
    return answer.status == 503 and error.get("type") == "unavailable_error"


def llamacpp(props: Answer, models: Answer | None) -> Facts:
    """Facts of a llama.cpp server out of its ``/props`` and ``/v1/models``.

    A router (a server that was started without a model) tells its models in ``/v1/models`` alone.
    """
    if is_loading(props):
        return Facts("llama.cpp", loading=True)
    found = props.mapping()
    build = name_of(found.get("build_info"))
    listed = models.mapping() if models is not None else {}
    names = _names(listed.get("data"))
    if found.get("role") == "router":
        loaded = tuple(_routed(listed))
        return Facts("llama.cpp", build, models=loaded, swaps=True, names=names)
    metas = [_mapping(entry.get("meta")) for entry in _entries(listed.get("data"))]
    meta = metas[0] if len(metas) == 1 else {}
    template = _text(found.get("chat_template"))
    path = _text(found.get("model_path"))
    ftype = _text(found.get("model_ftype")) or _text(meta.get("ftype"))
    model = Model(
        name=name_of(found.get("model_alias")) or name_of(path),
        digest=_identity(path, meta, ftype, template),
        quantization=quantization(ftype),
        context=_count(_mapping(found.get("default_generation_settings")).get("n_ctx"))
        or _count(meta.get("n_ctx")),
        template=_hash(template),
    )
    sleeping = found.get("is_sleeping")
    return Facts(
        "llama.cpp",
        build,
        slots=_count(found.get("total_slots")) or None,
        models=(model,) if model != Model() else (),
        names=names | ({model.name} if model.name is not None else set()),
        slots_readable=bool(found) and found.get("endpoint_slots") is not False,
        sleeping=sleeping if isinstance(sleeping, bool) else None,
    )


def llamacpp_slots(answer: Answer) -> tuple[int, int] | None:
    """Busy slots and all slots out of a llama.cpp server's ``/slots``; None where it does not tell."""
    slots = answer.content() if answer.status == 200 else None
    if not isinstance(slots, list) or not slots:
        return None
    busy = [_mapping(slot).get("is_processing") for slot in slots]
    return (busy.count(True), len(slots)) if all(isinstance(one, bool) for one in busy) else None


def ollama(version: Answer, loaded: Answer | None, installed: Answer | None = None) -> Facts | None:
    """Facts of Ollama out of its ``/api/version``, ``/api/ps`` and ``/api/tags``; None where it is another server."""
    build = name_of(version.mapping().get("version"))
    if build is None:
        return None
    models = []
    for entry in _entries(loaded.mapping().get("models") if loaded is not None else None):
        digest = _text(entry.get("digest")) or ""
        digest = digest.removeprefix("sha256:")
        details = _mapping(entry.get("details"))
        models.append(
            Model(
                name=name_of(entry.get("name")) or name_of(entry.get("model")),
                digest=f"sha256:{digest[:_DIGITS]}" if re.fullmatch("[0-9a-f]{64}", digest) else None,
                quantization=quantization(_text(details.get("quantization_level"))),
                context=_count(entry.get("context_length")) or None,
                vram=_share(entry.get("size_vram"), entry.get("size")),
            )
        )
    names = _names(installed.mapping().get("models") if installed is not None else None, "name")
    return Facts("ollama", build, models=tuple(models), swaps=True, names=names | _names_of(models))


def lmstudio(models: Answer) -> Facts | None:
    """Facts of LM Studio out of its ``/api/v0/models``, which lists what is on the disk too; None: another server."""
    entries = list(_entries(models.mapping().get("data")))
    if not entries or not all("state" in entry for entry in entries):
        return None
    loaded = [
        Model(
            name=name_of(entry.get("id")),
            quantization=quantization(_text(entry.get("quantization"))),
            context=_count(entry.get("loaded_context_length")) or _count(entry.get("max_context_length")),
        )
        for entry in entries
        if entry.get("state") == "loaded"
    ]
    names = _names(entries)
    return Facts("lmstudio", models=tuple(loaded[:MOST_MODELS]), swaps=True, names=names)


def vllm(version: Answer, models: Answer | None) -> Facts | None:
    """Facts of vLLM out of its ``/version`` and ``/v1/models``; None where it is another server."""
    build = name_of(version.mapping().get("version"))
    entries = list(_entries(models.mapping().get("data") if models is not None else None))
    owned = [entry for entry in entries if entry.get("owned_by") == "vllm"]
    if build is None or len(owned) != len(entries):
        return None
    # Adapters (LoRA) stand beside the model that they belong to, and name it as their parent.
    base = [entry for entry in owned if entry.get("parent") is None]
    model = [
        Model(name=name_of(entry.get("id")), context=_count(entry.get("max_model_len"))) for entry in base[:1]
    ]
    return Facts("vllm", build, models=tuple(model), names=_names(owned))


def other(models: Answer) -> Facts:
    """Facts of any server out of its ``/v1/models``.

    mlx_lm's server is known by its answer: it is written on Python's own server and names no owner. It lists every
    model on the disk, so which of them it has loaded is unknown.
    """
    entries = list(_entries(models.mapping().get("data")))
    if models.server.startswith("basehttp/") and entries and not any("owned_by" in e for e in entries):
        return Facts("mlx", names=_names(entries))
    single = (Model(name=name_of(entries[0].get("id"))),) if len(entries) == 1 else ()
    return Facts("unknown", models=single, names=_names(entries))


def name_of(value: object) -> str | None:
    """Return a name that an engine gave (``ids.model_name``), ``other`` where it may not stand as one."""
    text = _text(value)
    return (model_name(text) or "other") if text is not None else None


def _names(entries: object, field: str = "id") -> frozenset[str]:
    """The names that a list of models gives, with what a llama.cpp server calls them besides."""
    found: set[str | None] = set()
    for entry in _entries(entries):
        aliases = entry.get("aliases")
        for value in (entry.get(field), *(aliases if isinstance(aliases, list) else ())):
            found.add(model_name(value) if isinstance(value, str) else None)
    return frozenset(name for name in found if name is not None)


def _names_of(models: Iterable[Model]) -> frozenset[str]:
    return frozenset(model.name for model in models if model.name is not None)


def quantization(text: str | None) -> str | None:
    """Return how weights are stored, as its usual short name: ``Q4_K_M`` for llama.cpp's ``Q4_K - Medium``."""
    if not text or text.lower() in {"unknown", "other"}:
        return None
    text = _BPW.sub("", text.removeprefix("(guessed) ").removeprefix("all "))
    for long, short in _SIZES.items():
        text = text.removesuffix(long) + short if text.endswith(long) else text
    return text if _QUANTIZATION.fullmatch(text) is not None else "other"


def _routed(listed: Mapping[str, Any]) -> Iterator[Model]:
    for entry in _entries(listed.get("data")):
        if _mapping(entry.get("status")).get("value") in {"loaded", "sleeping"}:
            meta = _mapping(entry.get("meta"))
            ftype = _text(meta.get("ftype"))
            yield Model(
                name=name_of(entry.get("id")),
                digest=_identity(_text(entry.get("id")), meta, ftype, None),
                quantization=quantization(ftype),
                context=_count(meta.get("n_ctx")) or None,
            )


def _identity(
    path: str | None, meta: Mapping[str, Any], ftype: str | None, template: str | None
) -> str | None:
    """See ``Model.digest``. None where the engine does not tell the model's size, which tells most."""
    size, parameters = _count(meta.get("size")), _count(meta.get("n_params"))
    if size is None or parameters is None:
        return None
    file = re.split(r"[/\\]", path or "")[-1]
    told = json.dumps([file, size, parameters, ftype, _hash(template)])
    return f"id:{_hash(told)}"


def _hash(text: str | None) -> str | None:
    if not text:
        return None
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGITS // 2).hexdigest()


def _share(part: object, whole: object) -> int | None:
    some, all_of_it = _count(part), _count(whole)
    if some is None or not all_of_it:
        return None
    return min(10_000, 10_000 * some // all_of_it)


def _entries(value: object) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in value if isinstance(entry, Mapping)) if isinstance(value, list) else iter(())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST else None
