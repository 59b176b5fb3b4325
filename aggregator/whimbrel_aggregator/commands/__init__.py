"""The sub-commands, one module each; the command line imports the one it needs."""
