"""What a load run tells people and programs: pages, files for other tools, and the terminal while it runs.

Everything is made from merged counts, never from single iterations: a run of any length gives a report in bounded
time and memory.
"""
