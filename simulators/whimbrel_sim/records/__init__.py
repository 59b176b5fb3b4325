"""Very many runs, slice by slice, and a record of them that sessions go on with."""
