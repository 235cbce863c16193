"""Selecting: names become a selection; whether it fits, and what else would."""
