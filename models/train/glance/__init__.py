"""Training `glance`, the first tier: a hashed bag of n-grams and a small network, distilled from the second tier.

``python -m train.glance --data DATA --out FOLDER`` makes the whole folder; see `__main__`.
"""
