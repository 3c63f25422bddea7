"""What whoever runs the container calls in it: prepare, account, backup, restore."""
