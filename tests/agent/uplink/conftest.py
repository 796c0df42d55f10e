"""The device of the spool's tests, for the uplink's."""

from tests.agent.spool.conftest import device, directory

__all__ = ["device", "directory"]
