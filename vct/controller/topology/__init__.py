"""Which nodes are linked: what `vct init` tells, and NetJSON of it for maps and programs."""
