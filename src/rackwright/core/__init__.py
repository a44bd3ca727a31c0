"""The rules: facts, roles, tasks, catalogs, plans and the states of node tasks. No input, no output."""
