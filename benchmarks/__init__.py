"""Measurements that a person can repeat; `make bench` runs them all at a small size."""
