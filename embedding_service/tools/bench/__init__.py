"""`embedding-service bench`: how fast each engine and precision is on this machine, beside what the machine could do."""
