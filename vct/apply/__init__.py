"""The loop: observe, do the steps of a plan through the drivers, undo them when one fails."""
