"""Simulated machines, their BMCs and the wires between them: they speak the real protocols."""
