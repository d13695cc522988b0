"""Report texts: their sections, their entities and the kinds that they speak of."""
