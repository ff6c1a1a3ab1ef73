"""What the package does and costs: ``python -m benchmarks.demo`` and ``python -m benchmarks``.

Everything is measured with two threads, whatever the machine has, unless the environment says
otherwise. That is set here, before NumPy or torch are loaded and read it.
"""

import os

N_THREADS = int(os.environ.get("OMP_NUM_THREADS") or 2)
THREADS = [f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON")]
for _variable in THREADS:
    os.environ.setdefault(_variable, str(N_THREADS))
