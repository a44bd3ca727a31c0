"""HTTP in, JSON out; one file for each resource, and no rules."""
