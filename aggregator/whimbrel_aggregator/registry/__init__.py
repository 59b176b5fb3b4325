"""Which devices may speak, and with which keys."""
