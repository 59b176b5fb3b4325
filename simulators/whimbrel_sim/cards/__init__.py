"""What a card may hold after a crash: recorded operations, faults, crash images and sweeps."""
