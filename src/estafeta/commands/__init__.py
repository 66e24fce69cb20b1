"""One module per command-line tool."""
