"""The command line: arguments, exit codes, colours. Composes the rooms; decides nothing."""
