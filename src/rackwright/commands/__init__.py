"""One file for each process, and the only place where things are wired together."""
