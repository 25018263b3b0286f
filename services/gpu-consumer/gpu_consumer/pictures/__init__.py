"""From rendered pixels to files in the bucket."""
