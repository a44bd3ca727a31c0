"""Hands on the world, each found by an entry point."""
