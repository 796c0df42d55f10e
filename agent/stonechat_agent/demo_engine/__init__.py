"""A real, small, local engine: one language model behind the OpenAI, llama.cpp and Ollama dialects.

For demos and tests: its prose is poor, its tokens, timings, cache and load are real.
"""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run the command; see `cli.main`."""
    from stonechat_agent.demo_engine import cli

    return cli.main(argv)


__all__ = ["main"]
