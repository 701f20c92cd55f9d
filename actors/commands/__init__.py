"""The commands of the command line, one module each; `actors.main` puts them together."""
