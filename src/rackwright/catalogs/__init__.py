"""Roles and tasks shipped with the product, as data."""
