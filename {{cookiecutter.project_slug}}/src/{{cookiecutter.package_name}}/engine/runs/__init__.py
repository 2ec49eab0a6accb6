"""One stored run: written, locked, found, read, rebuilt, resumed."""
