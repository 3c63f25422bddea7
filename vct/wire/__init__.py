"""What controller and node say to each other. Standard library only: the node agent has it too.

Shapes, states (each with a sentence), link relations, profiles and header names, as CONFINE's
controllers and nodes published them. The controller serves them, the agent reads them.
"""
