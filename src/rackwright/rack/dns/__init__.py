"""Names of a rack's machines: rows in a file, answered by PowerDNS."""
