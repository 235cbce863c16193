"""Names of tensors: how trainers write modules and their changes, and how each network spells what others do too."""
