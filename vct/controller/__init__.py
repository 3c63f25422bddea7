"""The controller: registry of a testbed, REST API in two dialects, web pages. A Django project.

It runs in the controller's container or by itself for development; nothing of vct imports it.
"""
