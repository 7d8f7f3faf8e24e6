"""Images: from files to arrays and back."""
