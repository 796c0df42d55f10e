"""The agent that sits beside a language model on its device: capture, sampling, windows, spool, uplink."""
