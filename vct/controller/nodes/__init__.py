"""What the testbed is made of: islands, servers, nodes and what they offer."""
