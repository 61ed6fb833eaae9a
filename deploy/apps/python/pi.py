"""Monte Carlo with numpy: one task, one seed. Prints how many of the points fell into the quarter circle
(an integer), and the price of an Asian option from the same generator (floating point, to the last bit).

    quorate run pi.py --array 1-100 --with numpy -o out
"""

import sys

import numpy as np

rng = np.random.default_rng(int(sys.argv[1]))
points = rng.random((200_000, 2))
inside = int(((points**2).sum(axis=1) < 1).sum())

steps, paths = 50, 4_000
walk = np.cumsum(rng.normal(0.0002, 0.01, size=(paths, steps)), axis=1)
price = np.maximum(100 * np.exp(walk).mean(axis=1) - 100, 0).mean()
print(sys.argv[1], inside, price.hex())
