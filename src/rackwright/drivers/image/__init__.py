"""How images are made: from Debian packages, on plain files, without mounts and mostly without root."""
