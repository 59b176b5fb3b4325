"""Forwarders: consumers that deliver committed events to outside systems."""
