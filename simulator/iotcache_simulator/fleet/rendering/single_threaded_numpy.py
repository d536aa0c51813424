"""numpy, without the threads that its linear algebra starts: no matrix is multiplied here."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, while numpy is being imported

import numpy as np

__all__ = ["np"]
