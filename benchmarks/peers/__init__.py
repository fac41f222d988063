"""Other libraries, each in an environment of its own, doing the same work."""
