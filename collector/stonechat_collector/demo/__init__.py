"""The demo: a collector and three devices with real engines on one machine (``./dev demo``)."""
