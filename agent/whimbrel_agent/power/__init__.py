"""Power: what the device runs on, how full its battery is, and how frugal the agent is with it."""
