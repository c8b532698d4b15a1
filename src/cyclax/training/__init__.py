"""Training on time series: a latent map, how it is forced by the data, and the loop."""
