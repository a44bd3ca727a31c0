"""The operator's command line. It speaks to the api only; each command is a file that loads when it is asked for."""
