"""Energy: what the agent's work costs, by cause, and when sending is cheapest."""
