"""``python -m whimbrel_sim.bench``: the figures that need no server; ``scripts/bench`` has all."""

from .cli import main

raise SystemExit(main())
