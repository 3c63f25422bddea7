"""How fast vct is, beside floors measured in the same run: `python -m benchmarks`."""
