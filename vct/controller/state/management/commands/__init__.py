"""`python -m vct.controller work`."""
