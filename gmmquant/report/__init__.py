"""What people and scripts read: the record of an image and its table."""
