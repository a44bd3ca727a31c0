"""The loops: intake, annealer, serialisation, results and timers. They ask core and reach the world through its ports."""
