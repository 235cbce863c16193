"""One file for each kind, with a `KIND`: found by being here."""
