"""What cycles are: words, their solutions and verification, families, indices, inventories and results."""
