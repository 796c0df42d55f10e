"""Judgements of answers: tier 0 in the agent, on every answer."""
