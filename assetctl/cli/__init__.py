"""The command line: parse, call the Registry, render one result."""
