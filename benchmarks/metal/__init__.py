"""What the benchmark of booting machines takes."""
