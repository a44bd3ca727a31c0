"""The parts of the annealer's benchmark."""
