"""Captions against several references: tokens, BLEU, ROUGE-L and CIDEr-D, without Java.

Each metric takes lists of tokens, as ``TOKENIZERS`` give them, so that metric and tokenizer can be
checked apart.
"""
