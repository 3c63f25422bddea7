"""Doing: one module per kind of thing, each with a pure half and a short arm."""
