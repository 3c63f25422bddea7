"""What the commands do, as functions: composes the rooms, prints nothing, asks nothing."""
