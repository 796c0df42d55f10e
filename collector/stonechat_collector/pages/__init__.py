"""The pages for people: the fleet, a device, its events. Server-rendered; charts and live updates are added to them."""

from stonechat_collector.pages.assets import Assets
from stonechat_collector.pages.router import Connect, Views, build_router

__all__ = ["Assets", "Connect", "Views", "build_router"]
