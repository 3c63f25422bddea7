"""Images as files: what is exported, imported and published. Called by the command line."""
