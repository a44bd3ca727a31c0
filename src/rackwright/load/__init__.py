"""The load proof: task files, scenarios, load processes, agents and reports; everything of it that does I/O."""
