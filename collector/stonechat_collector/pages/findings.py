"""What a finding says about an answer, for people. A name that is not here is shown as it is: devices may know more."""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "empty": "nothing came, or nothing but white space and marks",
    "truncated": "the answer reached the limit of tokens",
    "repetition": "the same words over and over",
    "degenerate": "so uniform that it compresses to nearly nothing",
    "garbage": "characters that are none, or that were decoded wrongly",
    "language": "another language than the user's",
    "refusal": "the answer declines",
    "tool_call": "a call of a tool that was not offered, or with arguments that are no JSON object",
    "not_json": "JSON was asked for, and the answer is none",
    "prompt_leak": "a part of the system's instructions, word for word",
    "prompt_echo": "the prompt said again, and little else",
    "same_answer": "the same answer to prompts that differ",
    "unclosed": "a block of code that does not end",
    "template": "signs of the chat template in the answer",
}
