"""The demo's users: they ask, read the answer as it streams, think, and ask again."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

QUESTIONS = (
    "Where do I find the shoes?",
    "Can you tell me a story about a bird?",
    "What should I cook tonight?",
    "How do I return something that I bought here?",
    "Why is the sky blue?",
    "Write a short poem about the sea.",
    "Give me three tips for a good night's sleep.",
    "What is the capital of France, and what is it known for?",
    "Explain how a bicycle stays upright.",
    "I am bored. What can I do on a rainy day?",
)
TIMEOUT_SECONDS = 30.0


class User(threading.Thread):
    """Asks a relay until it is told to stop. What fails is the monitor's to see, so it is no reason to stop."""

    def __init__(
        self,
        relay: str,
        *,
        seed: int,
        tokens: int,
        think_seconds: float,
        model: str,
        too_long: float = 0.0,
        asks: Sequence[Callable[[str, str, int], tuple[str, dict[str, object]]]] = (),
    ) -> None:
        """``too_long`` is the share of questions that exceed the engine's context, as a careless application's do."""
        super().__init__(name=f"user-{seed}", daemon=True)
        self._address = urlsplit(relay)
        self._random = random.Random(seed)
        self._tokens = tokens
        self._think = think_seconds
        self._model = model
        self._too_long = too_long
        self._asks = asks or DIALECTS
        self._stopped = threading.Event()
        self.answers = self.failures = 0

    def run(self) -> None:
        """Ask and think in turn."""
        while not self._stopped.is_set():
            question = self._random.choice(QUESTIONS)
            if self._random.random() < self._too_long:
                question *= 400
            path, body = self._random.choice(self._asks)(question, self._model, self._tokens)
            if self._ask(path, body):
                self.answers += 1
            else:
                self.failures += 1
            self._stopped.wait(self._think * self._random.uniform(0.5, 1.5))

    def stop(self) -> None:
        """End after the question under way."""
        self._stopped.set()

    def _ask(self, path: str, body: dict[str, object]) -> bool:
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=TIMEOUT_SECONDS
        )
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            while answer.read1(65536):
                if self._stopped.is_set():
                    break
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def openai_chat(question: str, model: str, tokens: int) -> tuple[str, dict[str, object]]:
    """A streamed question in OpenAI's dialect."""
    messages = [{"role": "user", "content": question}]
    body = {"model": model, "messages": messages, "stream": True, "max_tokens": tokens}
    return "/v1/chat/completions", {**body, "stream_options": {"include_usage": True}}


def llamacpp_completion(question: str, model: str, tokens: int) -> tuple[str, dict[str, object]]:
    """A streamed question in llama.cpp's own dialect."""
    return "/completion", {"prompt": question, "stream": True, "n_predict": tokens}


def ollama_chat(question: str, model: str, tokens: int) -> tuple[str, dict[str, object]]:
    """A streamed question in Ollama's dialect."""
    messages = [{"role": "user", "content": question}]
    return "/api/chat", {"model": model, "messages": messages, "options": {"num_predict": tokens}}


DIALECTS = (openai_chat, openai_chat, llamacpp_completion, ollama_chat)
