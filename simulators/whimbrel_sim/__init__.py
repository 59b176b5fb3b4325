"""Simulators: fleets, links and faults around the shipped agent and aggregator."""
