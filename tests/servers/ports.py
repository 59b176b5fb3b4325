"""Loopback ports for servers that are killed and come back; the simulators give them out."""

from whimbrel_sim.ports import free_port

__all__ = ["free_port"]
