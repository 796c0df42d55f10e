"""What the agent and the collector agree on: metrics, records, folding, receipts, the wire, configuration.

Everything in this package is pure: values come in, values go out. No module here opens a file or a socket, starts
a thread, reads a clock or draws a random number; time and randomness are arguments.
"""

__version__ = "0.1.0"
