"""The views of v1, one module for each theme."""
