"""What the package does and costs: ``python -m benchmarks.demo`` and ``python -m benchmarks``.

Everything is measured with two threads, whatever the machine has, unless the environment says
otherwise. That is set here, before NumPy or torch are loaded and read it.
"""

import os

N_THREADS = int(os.environ.get("OMP_NUM_THREADS") or 2)
for _library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", str(N_THREADS))
