"""The node agent: fetches a node's orders from the registry, obeys them, publishes what it is.

One process in a node, of plain modules and the standard library: wanted (`fetch`), seen (`seen`),
plan (`decide`, pure), apply (`apply`), publish (`shapes`, `api`). `main` starts it.
"""
