"""The library: files and folders become assets, stay true, and leave."""
