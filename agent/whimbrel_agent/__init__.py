"""The edge agent: accepts events, keeps them, and syncs them to the region."""

__version__ = "0.1.0"
