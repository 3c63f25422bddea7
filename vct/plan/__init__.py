"""Deciding: wanted and seen in one vocabulary, the difference as steps, what came of them. Pure."""
