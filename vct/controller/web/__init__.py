"""What people see: log in, dashboard, map; and what all pages of the admin have in common."""
