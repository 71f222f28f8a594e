"""What twohop costs, measured beside the other ways to serve the same model. Loopback only, bounded in calls."""
