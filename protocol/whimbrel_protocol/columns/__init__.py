"""Columns: the events of one frame, turned on their side so that like lies beside like.

``series`` says how events are sorted, ``writing`` and ``reading`` are the whole body, ``column``
one column, and each other module one encoding. The byte tables are in ``protocol/columns.md``.
"""
