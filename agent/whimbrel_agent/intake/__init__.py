"""Ways in: everything that turns what producers hand over into accepted events."""
