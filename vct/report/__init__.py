"""Outcomes and states to words and JSON. Pure: nothing is looked at, nothing is printed."""
