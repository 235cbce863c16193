"""Provisioning: a machine has what a manifest wants."""
