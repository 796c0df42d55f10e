"""llama-server's own `/completion`, and what it says about itself: props, slots, metrics, models."""

from __future__ import annotations

from typing import Any

from stonechat_agent.demo_engine.dialect import (
    Answer,
    Body,
    Refusal,
    Serving,
    dumps,
    error_body,
    fits,
    flag,
    generation,
    invalid,
    sse,
    timings_json,
)
from stonechat_agent.demo_engine.generation import Finished, Generation, Piece
from stonechat_agent.demo_engine.scheduler import Scheduler, Slot

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}<|assistant|>"
)
_SAMPLERS = ["top_k", "temperature", "top_p"]


def parse_completion(body: Body, serving: Serving) -> Completion:
    """Read a completion request.

    Raises:
        Refusal: a field is missing or wrong, or the prompt does not fit.
    """
    prompt = body.get("prompt")
    tokenizer = serving.model.tokenizer
    if prompt is None:
        raise invalid('"prompt" is required')
    if isinstance(prompt, str):
        ids = tokenizer.encode(prompt, special=True)
    elif isinstance(prompt, list) and all(type(i) is int and 0 <= i < len(tokenizer) for i in prompt):
        ids = prompt
    else:
        raise invalid('"prompt" must be a string or an array of this model\'s token ids')
    # Something must come before the first token that is drawn.
    wanted = generation(
        body, fits(serving, ids or [serving.model.end]), limits=("n_predict", "max_tokens"), top_p=0.95
    )
    return Completion(
        serving,
        wanted,
        stream=flag(body, "stream", False),
        timings_per_token=flag(body, "timings_per_token", False),
        return_tokens=flag(body, "return_tokens", False),
    )


class Completion(Answer):
    def __init__(
        self,
        serving: Serving,
        wanted: Generation,
        *,
        stream: bool,
        timings_per_token: bool,
        return_tokens: bool,
    ) -> None:
        super().__init__(wanted, stream=stream)
        self._serving = serving
        self._timings_per_token = timings_per_token
        self._return_tokens = return_tokens
        self._new_line = False

    def piece(self, piece: Piece) -> bytes:
        self._new_line = self._new_line or "\n" in piece.text
        chunk = {
            "index": 0,
            "content": piece.text,
            "tokens": list(piece.tokens),
            "stop": False,
            "id_slot": -1,
            "tokens_predicted": piece.timings.predicted_n,
            "tokens_evaluated": len(self.wanted.prompt),
        }
        if self._timings_per_token:
            chunk["timings"] = timings_json(piece.timings)
        return sse(chunk)

    def end(self, finished: Finished) -> bytes:
        return sse(self._final("", [], finished))

    def whole(self, content: str, tokens: list[int], finished: Finished) -> bytes:
        self._new_line = "\n" in content
        return dumps(self._final(content, tokens if self._return_tokens else [], finished))

    def failure(self, message: str) -> bytes:
        return sse(error_body(Refusal(500, "server_error", message)))

    def _final(self, content: str, tokens: list[int], finished: Finished) -> Body:
        settings = {
            **sampling_json(self.wanted),
            "stop": list(self.wanted.stop),
            "stream": self.stream,
            "timings_per_token": self._timings_per_token,
        }
        return {
            "index": 0,
            "content": content,
            "tokens": tokens,
            "id_slot": finished.slot,
            "stop": True,
            "model": self._serving.alias,
            "tokens_predicted": finished.timings.predicted_n,
            "tokens_evaluated": len(self.wanted.prompt),
            "generation_settings": settings,
            "prompt": self._serving.model.tokenizer.decode(list(self.wanted.prompt)),
            "has_new_line": self._new_line,
            "truncated": finished.truncated,
            "stop_type": finished.stop_type,
            "stopping_word": finished.stopping_word,
            "tokens_cached": finished.tokens_cached,
            "timings": timings_json(finished.timings),
        }


def sampling_json(wanted: Generation) -> Body:
    limit = -1 if wanted.max_tokens is None else wanted.max_tokens
    return {
        "seed": wanted.seed,
        "temperature": wanted.temperature,
        "top_k": wanted.top_k,
        "top_p": wanted.top_p,
        "max_tokens": limit,
        "n_predict": limit,
        "ignore_eos": wanted.ignore_eos,
        "samplers": _SAMPLERS,
    }


def props_json(serving: Serving) -> Body:
    defaults = generation({"seed": 0xFFFFFFFF}, [], limits=(), top_p=0.95)
    return {
        "default_generation_settings": {"params": sampling_json(defaults), "n_ctx": serving.context},
        "total_slots": serving.slots,
        "model_alias": serving.alias,
        "model_ftype": "INT8",
        "model_path": str(serving.model.folder / "model.onnx"),
        "modalities": {"vision": False, "video": False, "audio": False},
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "chat_template": CHAT_TEMPLATE,
        "chat_template_caps": {"supports_system_role": True, "supports_tools": False},
        "bos_token": "",
        "eos_token": "<|end|>",
        "build_info": serving.build,
        "is_sleeping": False,
    }


def models_json(serving: Serving, started: int) -> Body:
    """`/v1/models`; `started` is the engine's start in Unix seconds."""
    details = {
        "parent_model": "",
        "format": "onnx",
        "family": "",
        "families": [""],
        "parameter_size": "",
        "quantization_level": "",
    }
    return {
        "models": [
            {
                "name": serving.alias,
                "model": serving.alias,
                "modified_at": "",
                "size": "",
                "digest": "",
                "type": "model",
                "description": "",
                "tags": [""],
                "capabilities": ["completion"],
                "parameters": "",
                "details": details,
            }
        ],
        "object": "list",
        "data": [
            {
                "id": serving.alias,
                "object": "model",
                "created": started,
                "owned_by": "llamacpp",
                "meta": {
                    "n_vocab": len(serving.model.tokenizer),
                    "n_ctx": serving.context,
                    "n_ctx_train": serving.model.context,
                    "n_embd": serving.model.dim,
                    "n_params": serving.model.parameters,
                    "size": serving.model.file_bytes,
                    "ftype": "INT8",
                },
            }
        ],
    }


def slots_json(scheduler: Scheduler) -> list[Body]:
    return [_slot_json(slot, scheduler.context) for slot in scheduler.slots]


def _slot_json(slot: Slot, context: int) -> Body:
    shown: dict[str, Any] = {
        "id": slot.number,
        "n_ctx": context,
        "speculative": False,
        "is_processing": slot.job is not None,
    }
    job = slot.last
    if job is not None:
        progress = job.progress
        limit = job.wanted.max_tokens
        shown |= {
            "id_task": job.task,
            "n_prompt_tokens": progress.prompt_tokens + progress.decoded,
            "n_prompt_tokens_processed": progress.prompt_n,
            "n_prompt_tokens_cache": progress.cache_n,
            "params": sampling_json(job.wanted),
            "next_token": [
                {
                    "has_next_token": slot.job is not None,
                    "n_remain": -1 if limit is None else limit - progress.decoded,
                    "n_decoded": progress.decoded,
                }
            ],
        }
    return shown


class Metrics:
    """The body of `/metrics`. Its two rates cover the time since the last scrape by anyone, as llama-server's do."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._last = (0, 0, 0, 0)

    def render(self) -> bytes:
        totals = self._scheduler.totals
        now = (totals.prompt_tokens, totals.prompt_ns, totals.predicted_tokens, totals.predicted_ns)
        prompt, prompt_ns, predicted, predicted_ns = (a - b for a, b in zip(now, self._last, strict=True))
        self._last = now
        counters = [
            (
                "prompt_tokens_total",
                "Number of prompt tokens processed, excluding cached tokens",
                totals.prompt_tokens,
            ),
            (
                "prompt_tokens_cached_total",
                "Number of prompt tokens reused from the cache",
                totals.cached_tokens,
            ),
            ("prompt_seconds_total", "Total time spent processing prompts", totals.prompt_ns / 1e9),
            ("tokens_predicted_total", "Number of generation tokens processed", totals.predicted_tokens),
            (
                "tokens_predicted_seconds_total",
                "Total time spent generating tokens",
                totals.predicted_ns / 1e9,
            ),
            ("n_decode_total", "Total number of runs of the model", totals.decodes),
            ("n_tokens_max", "Largest observed sequence length (prompt + generation)", totals.longest),
            ("spec_decode_num_draft_tokens_total", "Speculative: Total draft tokens generated", 0),
            (
                "spec_decode_num_accepted_tokens_total",
                "Speculative: Total draft tokens accepted by the target model",
                0,
            ),
            ("spec_decode_num_drafts_total", "Speculative: Total speculative decoding verification steps", 0),
        ]
        gauges = [
            ("prompt_tokens_seconds", "Average prompt throughput in tokens/s", _rate(prompt, prompt_ns)),
            (
                "predicted_tokens_seconds",
                "Average generation throughput in tokens/s",
                _rate(predicted, predicted_ns),
            ),
            ("requests_processing", "Number of requests processing", self._scheduler.processing),
            ("requests_deferred", "Number of requests deferred", self._scheduler.deferred),
            (
                "n_busy_slots_per_decode",
                "Average number of busy slots per run of the model",
                totals.busy_slots / max(totals.decodes, 1),
            ),
        ]
        lines = [
            f"# HELP llamacpp:{name} {description}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value:.6g}\n"
            if isinstance(value, float)
            else f"# HELP llamacpp:{name} {description}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n"
            for kind, items in (("counter", counters), ("gauge", gauges))
            for name, description, value in items
        ]
        return "".join(lines).encode()


def _rate(count: int, nanoseconds: int) -> float:
    return 1e9 * count / nanoseconds if nanoseconds else 0.0
