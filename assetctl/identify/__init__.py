"""What a file is, told from its header alone."""
