"""The rules of the load proof: schedules, mergeable counts, SLA criteria. No I/O."""
