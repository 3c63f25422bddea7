"""From recipe to image: inputs, plan, build steps, image store. Called by the command line."""
