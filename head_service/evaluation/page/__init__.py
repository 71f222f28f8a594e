"""The evaluation as one HTML page that needs nothing else: style and plots are in it."""
