"""The agent's durable buffer: staged events and sealed frames in one bounded SQLite file."""
