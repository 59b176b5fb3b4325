"""The edge agent: accepts events, keeps them, and syncs them to the region."""
