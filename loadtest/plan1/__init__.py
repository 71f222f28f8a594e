"""Plan 1: a web framework around the whole model. `server` runs in an environment of its own, `.venv-plan1`."""
