"""Who uses the testbed: people, groups, what they may do, their keys."""
