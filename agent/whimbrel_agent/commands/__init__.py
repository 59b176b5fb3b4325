"""One module per sub-command of ``whimbrel-agent``; each is imported only when it is asked for."""
