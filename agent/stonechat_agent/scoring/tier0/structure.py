"""Whether an answer has the form that it should have: JSON, tool calls, closed fences, no signs of the machinery."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from stonechat.transcript import ToolCall

_JSON_BOUND = 1 << 20
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_LANGUAGE = re.compile(r" ?[A-Za-z][A-Za-z0-9+#.-]*\s*")  # after an opening fence
_TEMPLATE = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|eot_id|eom_id|start_header_id|end_header_id|begin_of_text|end_of_text|user"
    r"|assistant|system|end|endofprompt|return|channel|message|start|pad|fim_prefix|fim_middle|fim_suffix|tool_call"
    r"|python_tag|finetune_right_pad_id|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN)\|>"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<\uff5c[^\n<>]{1,40}\uff5c>|<0x[0-9A-F]{2}>|\[/?TOOL_CALLS\]"
    r"|^### ?(?:Human|Assistant|User|Response|Instruction):|</s>\s*\Z|\A\s*<s>",
    re.MULTILINE,
)
# The next turn of the user, made up by a model that did not stop.
_TURN = re.compile(r"\n[ \t]*(?:Human|HUMAN|USER): \S|\n[ \t]*User: ?\S[^\n]*\n+[ \t]*(?:Assistant|AI|Bot): ")
_SPEAKER = re.compile(
    r"\b(?:human|user|chatbot|dialog(?:ue)?|conversation|chat|script|transcript)\b", re.IGNORECASE
)
_THINK = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>")
# UTF-8 that was read as Latin-1 or Windows-1252, once or twice.
_MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00bf\u0160\u0161\u0152\u0153\u0178\u017d\u017e\u0192\u02c6\u2018-\u201e\u2020-\u2026\u2030\u2039\u203a\u20ac\u2122]"
    "|\u00e2\u20ac[\u00a2\u00a6\u02dc\u0153\u009d\u2122\u201c\u201d\u0093\u0094\u0099]|\u00e2\u0080[\u0093-\u00a6]|\u00ef\u00bf\u00bd"
    "|[\u00d0\u00d1][\u0080-\u00bf\u2018-\u201e\u2020-\u2026\u20ac\u2122]|\u00c2[\u00a0-\u00bf]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ue000-\uf8ff]")
_CLOSERS = frozenset(".!?\u3002\uff01\uff1f\u2026:;)]}\"'`*_|>~\u201d\u2019\u300d\u0964\u061f-")


def tool_calls(calls: Sequence[ToolCall], offered: Sequence[str]) -> float:
    """Return the share of tool calls that cannot be carried out: no JSON object, or a tool that was not offered."""
    wrong = sum(
        not _is_object(call.arguments) or bool(offered and call.name not in offered) for call in calls
    )
    return 0.5 + 0.5 * wrong / len(calls) if wrong else 0.0


def _is_object(arguments: str) -> bool:
    if not arguments.strip():  # a tool without parameters
        return True
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def not_json(answer: str) -> float | None:
    """Return 1 where an answer is no JSON, 0.6 where it is JSON in a fence,
    0 where it is; None where it is too long."""
    if len(answer) > _JSON_BOUND:
        return None
    if _parses(answer):
        return 0.0
    inner = answer.strip()
    if inner.startswith("```") and inner.endswith("```") and _parses(inner.strip("`").removeprefix("json")):
        return 0.6
    return 1.0


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def unclosed(answer: str) -> float:
    """Return 0.75 where a fence of code is open at the end, or a block of reasoning is."""
    opened = ""
    for mark, rest in _FENCE.findall(answer):
        if not opened:
            opened = "" if mark[0] == "`" and "`" in rest else mark
        elif mark[0] == opened[0] and len(mark) >= len(opened) and not _LANGUAGE.fullmatch(rest):
            opened = ""  # text behind the closing fence is wrong too, but harmless
    return 0.75 if opened else 0.0


def template(answer: str, prompt: str) -> float:
    """Return 1 where signs of the chat template or of the reasoning stand in an answer and not in its prompt."""
    for found in _TEMPLATE.finditer(answer):
        if found[0].strip() not in prompt:
            return 1.0
    depth = 0
    for found in _THINK.finditer(answer):
        depth += -1 if found[1] else 1
        if depth < 0:
            break
    if depth and "<think" not in prompt and "</think" not in prompt:
        return 0.75
    turn = _TURN.search(answer)
    # Who asks for a dialogue gets one.
    return 0.75 if turn and answer[: turn.start()].strip() and not _SPEAKER.search(prompt) else 0.0


def garbage(answer: str, prompt: str) -> float:
    """Return how much of an answer is broken characters, against three of them or one in two hundred."""
    if answer.isascii() and not _CONTROL.search(answer):
        return 0.0
    broken = answer.count("\ufffd") + len(_CONTROL.findall(answer)) + len(_MOJIBAKE.findall(answer))
    if not broken or "\ufffd" in prompt or _MOJIBAKE.search(prompt):
        return 0.0
    return min(1.0, 0.5 * max(broken / 3, broken * 200 / max(200, len(answer))))


def ends_open(answer: str) -> bool:
    """Whether an answer stops in the middle of a sentence, as far as signs show it."""
    tail = answer.rstrip()
    return bool(tail) and tail[-1] not in _CLOSERS and not tail[-1].isspace() and ord(tail[-1]) < 0x1F000
