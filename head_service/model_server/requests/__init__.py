"""What a request means, whatever it came by: TF-Serving's checks in TF-Serving's order, with its codes and texts."""
