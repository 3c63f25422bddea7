"""Uploaded archives: templates, data, overlays; each with its digest and size."""
