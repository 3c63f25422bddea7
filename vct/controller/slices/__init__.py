"""Experiments: templates, slices, slivers and their interfaces."""
