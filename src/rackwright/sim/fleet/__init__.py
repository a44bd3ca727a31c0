"""Fleets: machines that are a few hundred bytes each and speak to their racks as real ones do."""
