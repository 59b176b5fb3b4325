"""Loads the fixtures that every folder of tests shares; no logic here."""

pytest_plugins = ["servers.fixtures"]
