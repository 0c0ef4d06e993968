"""How long things take, side by side with how others do them: `python3 run.py bench`, and docs/benchmarks.md."""
