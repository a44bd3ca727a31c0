"""The loops: intake, annealer, results, timers. They ask core and reach the world through its ports."""
