"""The testbed's certification authority and what it signed."""
