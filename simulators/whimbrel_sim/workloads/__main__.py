"""``python -m whimbrel_sim.workloads``: what each kind's events cost at least, and in fact."""

from .cli import main

raise SystemExit(main())
