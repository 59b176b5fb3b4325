"""``scripts/demo``: the whole product on one machine in a minute, with a reckoning at its end."""
