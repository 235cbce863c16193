"""Whether a selection can work together, told from headers alone: rules, and how far each LoRA reaches."""
