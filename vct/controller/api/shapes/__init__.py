"""The members of v1's objects, how they are shown and how they are written."""
