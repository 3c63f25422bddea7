"""What nodes and slivers were last seen to be, and what they were before."""
