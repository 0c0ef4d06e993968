"""Proofs: figures about money that anyone can run again. Short in the normal suite, long by `python3 run.py proofs`."""
