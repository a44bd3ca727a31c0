"""Couriers: the hands that carry messages of hooks to webhooks, installed functions and scripts."""
