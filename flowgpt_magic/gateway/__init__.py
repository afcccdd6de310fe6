"""A server that speaks the FlowGPT v3 protocol in front of any provider: ``python -m flowgpt_magic.gateway``."""

from __future__ import annotations

from flowgpt_magic.gateway.options import Options
from flowgpt_magic.gateway.server import Gateway, running, start

__all__ = ["Gateway", "Options", "running", "start"]
