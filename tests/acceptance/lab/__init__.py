"""Real machines under emulation, real BMCs, real PXE. It takes root, and some Debian packages."""
