"""The operator's command line; it speaks to the api only."""
