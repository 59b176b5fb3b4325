"""What the region lets in, and when: credit, limits, and the return of many devices at once."""
