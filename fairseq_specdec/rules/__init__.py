"""What generation options do to scores."""
