"""``python -m whimbrel_aggregator``."""

from __future__ import annotations

import sys

from whimbrel_aggregator.cli import main

sys.exit(main())
