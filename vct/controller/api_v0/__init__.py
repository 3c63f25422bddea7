"""The REST API v0 at /api/v0/, the "server" dialect that the original's client library speaks.

The same rows, views and rules as v1 (`vct.controller.api`); only what differs is said here.
"""
