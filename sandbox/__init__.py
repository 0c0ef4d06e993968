"""The pretend PGs: a program of its own, reached only by URL. `uvicorn sandbox:app --port 9000`."""

from sandbox.main import create_app

app = create_app()

__all__ = ["app", "create_app"]
