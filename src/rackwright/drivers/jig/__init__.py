"""The jigs shipped with the product: ``noop``, ``script`` and ``service``."""
