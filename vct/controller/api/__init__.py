"""The REST API v1 at /api/, the "registry" dialect of CONFINE's last controllers."""
