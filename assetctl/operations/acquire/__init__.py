"""Acquiring: assets, and what is said of them, come from elsewhere."""
