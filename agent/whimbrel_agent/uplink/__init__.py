"""The way out: a pure session machine, and the shell that gives it sockets and a buffer."""
