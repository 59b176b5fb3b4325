"""``python -m whimbrel_sim.energy``: what sending policies cost; ``scripts/energy-plot`` draws it."""

from .cli import main

raise SystemExit(main())
