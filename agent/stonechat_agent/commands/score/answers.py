"""One line of input: an answer to be scored, or what is wrong with it."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from stonechat_agent.commands.score.lines import MOST_BYTES, Line

_WORDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class Answer(NamedTuple):
    """An answer, the question that it answers ("" where none was given), and the id as it came."""

    id: Any
    prompt: str
    response: str


class Bad(NamedTuple):
    """A line that cannot be scored."""

    id: Any
    line: int
    error: str

    @property
    def plain(self) -> dict[str, Any]:
        """As it is written."""
        return {"id": self.id, "line": self.line, "error": self.error}


def read(line: Line) -> Answer | Bad | None:
    """Read a line; None for a blank one.

    Bytes that are not UTF-8 are read as U+FFFD: one letter that was cut in two should not cost the answer.
    """
    if line.content is None:
        return Bad(None, line.number, f"longer than {MOST_BYTES >> 20} MiB")
    content = line.content.removeprefix(b"\xef\xbb\xbf") if line.number == 1 else line.content
    text = content.decode("utf-8", "replace").strip()
    if not text:
        return None
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_number)
    except RecursionError:
        return Bad(None, line.number, "not JSON that can be read: nested too deeply")
    except ValueError as error:
        return Bad(None, line.number, f"not JSON: {error}")
    if not isinstance(found, dict):
        return Bad(
            None, line.number, f'must be an object such as {{"response": "..."}}, and is {_kind(found)}'
        )
    name = found.get("id")
    response, prompt = found.get("response"), found.get("prompt")
    if "response" not in found:
        return Bad(name, line.number, 'has no "response"')
    if not isinstance(response, str):
        return Bad(name, line.number, f'"response" must be text, and is {_kind(response)}')
    if prompt is not None and not isinstance(prompt, str):
        return Bad(name, line.number, f'"prompt" must be text, and is {_kind(prompt)}')
    return Answer(name, prompt or "", response)


def _kind(value: object) -> str:
    return "null" if value is None else _WORDS[type(value)]


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number
