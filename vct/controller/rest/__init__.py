"""What both dialects of the REST API share: links, references, parsing, conditions, answers."""
