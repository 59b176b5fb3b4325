"""What the agent decided by itself of late, why, and from what."""
