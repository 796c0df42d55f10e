import sys

from stonechat_agent.demo_engine import main

sys.exit(main(sys.argv[1:]))
