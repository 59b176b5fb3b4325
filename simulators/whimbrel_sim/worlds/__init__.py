"""Deterministic worlds: the shipped agent and aggregator on replaced ports, in virtual time."""
