"""``python -m stonechat_agent.scoring.worker PARENT``: the worker, started by `keeper.Keeper` alone."""

from stonechat_agent.scoring.worker.child import main

main()
