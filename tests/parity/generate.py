"""Writes the recordings in ``data/``: ``python -m tests.parity.generate``, with rsl-rl-lib==5.5.1 installed.

The same version of it and of PyTorch gives the same numbers again, since everything random is seeded.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np

from .cases import CASES
from .reference import Arrays, record
from .reference_ops import record_ops

DATA = Path(__file__).parent / "data"
DTYPES = ("float64", "float32")
REFERENCE_VERSION = "5.5.1"

CLOSEST_KL = 1e-3
"""How near, relatively, the KL of a recording may come to where the adaptive rule jumps; rounding must not decide."""


def check_margin(name: str, arrays: Arrays, desired_kl: float) -> None:
    """Refuses a recording that rounding could turn into another one.

    Raises:
        RuntimeError: if a mini-batch's KL is too near to a threshold of the adaptive learning rate.
    """
    for key, kl in arrays.items():
        if not key.endswith("/kl"):
            continue
        for threshold in (desired_kl / 2, desired_kl * 2):
            margin = np.min(np.abs(kl / threshold - 1))
            if margin < CLOSEST_KL:
                raise RuntimeError(f"{name}: {key} is within {margin:.1e} of a threshold; give the case another seed.")


def main() -> None:
    """Write all recordings."""
    version = importlib.metadata.version("rsl-rl-lib")
    if version != REFERENCE_VERSION:
        raise SystemExit(f"The recordings are of rsl-rl-lib {REFERENCE_VERSION}; {version} is installed.")
    DATA.mkdir(exist_ok=True)
    for dtype in DTYPES:
        recordings = {name: record(case, dtype) for name, case in CASES.items()}
        for name, arrays in recordings.items():
            check_margin(name, arrays, CASES[name].train_cfg["algorithm"]["desired_kl"])
        for name, arrays in {**recordings, "ops": record_ops(dtype)}.items():
            path = DATA / f"{name}_{dtype}.npz"
            np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
            print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
