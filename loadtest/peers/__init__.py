"""`make peers`: hop 1 beside other ways to serve the same encoder. Each peer has an environment of its own."""
