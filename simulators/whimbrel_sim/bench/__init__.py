"""``scripts/bench``: what Whimbrel costs and how fast it is, each figure against a reference."""
