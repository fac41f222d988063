"""Studies of one question each: configuration, computation, and what was found."""
