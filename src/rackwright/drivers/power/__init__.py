"""Hands on the power switch: one file for each kind of BMC. The port is ``core.power``."""
