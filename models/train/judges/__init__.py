"""Training the judges: the data, its splits, its sampling, and the floor that every judge is measured against.

Nothing here is installed. From a checkout, with the data's folder beside it::

    python -m train.judges.inventory           # what there is, by head, source, licence and split
    python -m train.judges.floor --rows 1000   # the n-gram floor on sources left out
"""
