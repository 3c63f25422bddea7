"""The management network: addresses, tinc hosts, hosts and gateways of users."""
