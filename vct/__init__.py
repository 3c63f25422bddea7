"""vct: a Virtual CONFINE Testbed on one PC."""

__version__ = "0.1.0"
