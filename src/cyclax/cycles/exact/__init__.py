"""Complete enumeration of cycles, with a certificate of what is proved."""
