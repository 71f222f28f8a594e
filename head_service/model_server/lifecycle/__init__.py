"""Which model versions are loaded, and when: configuration, scanning, transitions, states."""
