"""What is wrong with a catalog, found before anything runs: one file for each kind of fault."""
