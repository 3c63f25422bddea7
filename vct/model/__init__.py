"""What users write, as values: testbed files, recipes, settings. The only place that reads YAML."""
