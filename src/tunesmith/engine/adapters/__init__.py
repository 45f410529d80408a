"""What is trained of a model: thin matrices beside frozen weights (`low_rank.py`), or the weights (`full.py`).

`trained.py` is the contract, `choose.py` the choice of a kind, `peft_format.py` and `whole.py` the files it is kept in.
"""
