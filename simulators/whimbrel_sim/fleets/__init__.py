"""Real fleets: many agents over real networks, faults between them, and the reckoning after."""
