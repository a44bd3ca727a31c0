"""Where facts and node tasks are kept: PostgreSQL, the embedded server, and a twin in memory for tests."""
