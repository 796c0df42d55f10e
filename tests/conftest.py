"""What all tests share: hypothesis profiles and signals, and nothing that a test could do by itself."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# Two cores are shared by pytest's workers and the brokers and browsers that they start, so wall-clock deadlines
# measure the machine, not the code. By default the same examples each time, so that a failure is of the change that
# is tested; STONECHAT_HYPOTHESIS=thorough searches for new ones, and ten times longer.
settings.register_profile(
    "default",
    settings(deadline=None, print_blob=True, derandomize=True, suppress_health_check=[HealthCheck.too_slow]),
)
settings.register_profile(
    "thorough", settings(settings.get_profile("default"), derandomize=False, max_examples=1000)
)
settings.load_profile(os.environ.get("STONECHAT_HYPOTHESIS", "default"))

# A shell that starts something in the background has it ignore Ctrl-C, nohup a hang-up, and whoever is started next
# inherits that: the commands that tests send these to would not hear them.
for _number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)
