"""How the search scales: with the dimension, the order, the number of cycles."""
