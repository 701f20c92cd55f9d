"""The words of the command line: which commands there are, their arguments and their help; no work."""
