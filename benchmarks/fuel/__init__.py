"""A fleet of any size under Fuel's real catalog, and a plain evaluation to compare with."""
