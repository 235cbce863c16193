"""The rules, one a file. A file here offers `RULE` and `check(context)`, and is found by its place."""
