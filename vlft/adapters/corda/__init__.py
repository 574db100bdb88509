"""CorDA: a LoRA that starts from weights decomposed by what flows into them (arXiv 2406.05223).

covariance.py  second moments of the inputs of linear layers, gathered by hooks
sharing.py     one sum for layers with a common input, kept right when they part
decompose.py   a weight and such a moment to the factors of a LoRA, and the residual weight
directions.py  the outermost singular directions of a matrix, exact without a full SVD
"""
