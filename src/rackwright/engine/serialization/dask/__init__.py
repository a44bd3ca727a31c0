"""The policy ``dask``: chunks are answered on many machines, by workers of a Dask cluster."""
