"""One file for each family, with a `FAMILY`: found by being here."""
