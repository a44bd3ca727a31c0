"""Parts of ``benchmarks/boot_storm.py``."""
