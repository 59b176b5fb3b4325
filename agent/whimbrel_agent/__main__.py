"""``python -m whimbrel_agent``."""

from __future__ import annotations

import sys

from whimbrel_agent.cli import main

sys.exit(main())
