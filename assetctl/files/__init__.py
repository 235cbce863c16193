"""Bytes: safetensors headers, what a file that is none of these really is, and hashes."""
