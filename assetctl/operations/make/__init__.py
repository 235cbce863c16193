"""Making: a selection becomes pictures, and pictures become selections again."""
