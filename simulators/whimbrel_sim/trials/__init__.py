"""Timed runs of flow and power with real processes: ``scripts/flow-trial`` and ``scripts/link-trial``.

Each part is a run of its own that ends in lines: a promise, whether it held, and the figures that say
so. A planted fault must make the line fail that it concerns.
"""
