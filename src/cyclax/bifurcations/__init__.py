"""Maps of bifurcations over parameters, and the events in them."""
