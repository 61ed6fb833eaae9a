"""A parameter search over the digits data set: one task, one setting of a support vector machine.

    quorate run digits.py --each-line digits.txt --with numpy,sklearn.datasets,sklearn.model_selection,sklearn.svm -o out

The argument is `C gamma`; the result is the accuracy of three-fold cross-validation over 300 digits, exactly.
"""

import sys

from sklearn.datasets import load_digits
from sklearn.model_selection import KFold, cross_val_score
from sklearn.svm import SVC

c, gamma = map(float, sys.argv[1].split())
x, y = load_digits(return_X_y=True)
scores = cross_val_score(SVC(C=c, gamma=gamma), x[:300], y[:300], cv=KFold(3))
print(c, gamma, scores.mean().hex(), " ".join(score.hex() for score in scores))
