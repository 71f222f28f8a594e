"""What a checkout needs before it can run: its environment, lock files, generated code."""
