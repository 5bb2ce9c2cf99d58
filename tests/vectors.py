"""Where the vectors made with the reference implementation lie, and the mark of tests that need them."""

from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "shared" / "data" / "reference_vectors"
with_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no reference vectors at {VECTORS}")
