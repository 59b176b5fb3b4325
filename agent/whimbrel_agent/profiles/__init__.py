"""Firmware profiles: what a class of hardware can bear, and what everything costs on it."""
