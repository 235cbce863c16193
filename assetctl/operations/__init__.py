"""The use cases, one a file: they alone combine catalog, store, sources, compatibility and generation."""
