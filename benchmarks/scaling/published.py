"""What Eisenmann, Monfared, Goering and Durstewitz (NeurIPS 2023) found for SCYFI, on their own draws."""

import numpy as np

# Linear subregions n until the fixed point (the first, it seems) is found, against M, and the M they were fitted over:
# by the mean largest |eigenvalue| of the family.
PUBLISHED_FITS = {
    0.71: (lambda M: 1.01 + 2.81 * np.log(np.log(M)), (2, 127)),
    1.25: (lambda M: -0.43 + 0.73 * M + 0.0077 * M**2, (10, 127)),
    1.33: (lambda M: np.exp(2.49 + 0.070 * M), (10, 50)),
    2.33: (lambda M: np.exp(0.56 + 0.23 * M), (10, 50)),
}
# Their notebook of the figure (github.com/DurstewitzLab/SCYFI, Figure_Notebooks/Figure2) fits counts out of files that
# are named by the range of the weights, "-0.2_0.2" and so on, one for all M; that of 0.71 is named "EV1".
PUBLISHED_WIDTHS = {0.2: 1.25, 0.5: 1.33, 1.0: 2.33}
# Means over ten 10-D networks of the distinct words left after so many moves.
PUBLISHED_WORDS = {0: 1024, 1: 163.5, 2: 78.4, 3: 51.2, 4: 37.0, 5: 28.7, 20: 10.6}


def order_fit(order: np.ndarray) -> np.ndarray:
    """Give iterations against the order k, of 2-D networks."""
    return 1.91 + 0.029 * order
