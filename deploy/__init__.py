"""Everything that starts processes: the demo, local deployment, images; and `development`, what a checkout needs."""
