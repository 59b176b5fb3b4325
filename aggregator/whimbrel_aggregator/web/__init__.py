"""The HTTP API: health, metrics, events and devices."""
