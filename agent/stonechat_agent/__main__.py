"""``python -m stonechat_agent`` is the command ``stonechat``."""

import sys

from stonechat_agent.cli import main

sys.exit(main())
