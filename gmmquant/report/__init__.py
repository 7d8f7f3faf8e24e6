"""What people and scripts read: the record of a picture and its table."""
