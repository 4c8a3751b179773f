"""Write the recordings in ``data/``: ``python -m tests.parity.generate``, with rsl-rl-lib==5.5.1 installed.

Names of recordings after it write only those. The same version of it and of PyTorch gives the same numbers again,
since everything random is seeded.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .cases import CASES, Case
from .distillation.cases import CASES as DISTILLATION_CASES
from .distillation.reference import record as record_distillation
from .reference import Arrays, record
from .reference_ops import record_distributions, record_ops

DATA = Path(__file__).parent / "data"
DTYPES = ("float64", "float32")
REFERENCE_VERSION = "5.5.1"

CLOSEST_KL = 1e-3
"""How near, relatively, the KL of a recording may come to where the adaptive rule jumps; rounding must not decide."""

SMALLEST_KL = 1e-6
"""A KL between 0 and this could be that of an unchanged policy, but for rounding."""

BUILDING_BLOCKS: dict[str, Callable[[str], Arrays]] = {"ops": record_ops, "distributions": record_distributions}


class CloseCallError(RuntimeError):
    """A recording that rounding could turn into another one."""


def check_margin(case: Case, arrays: Arrays) -> None:
    """Refuses a recording that rounding could turn into another one; a fixed learning rate leaves it no chance.

    Raises:
        CloseCallError: if a mini-batch's KL is too near to a threshold of the adaptive learning rate.
    """
    algorithm = case.train_cfg["algorithm"]
    if algorithm["schedule"] == "fixed":
        return
    desired_kl = algorithm["desired_kl"]
    kl = np.concatenate([array for key, array in arrays.items() if key.endswith("/kl")])
    margin = min(np.min(np.abs(kl / threshold - 1)) for threshold in (desired_kl / 2, desired_kl * 2))
    if margin < CLOSEST_KL or np.any((kl > 0) & (kl < SMALLEST_KL)):
        raise CloseCallError(f"{case.name}: a KL is too near to a threshold; give the case another seed.")


DISTILLATION = "distillation_"
"""What the names of its recordings begin with."""

ALL = (*CASES, *BUILDING_BLOCKS, *(DISTILLATION + name for name in DISTILLATION_CASES))


def recording(name: str, dtype: str) -> Arrays:
    """The recording of a name."""
    if name in BUILDING_BLOCKS:
        return BUILDING_BLOCKS[name](dtype)
    if name.startswith(DISTILLATION):
        return record_distillation(DISTILLATION_CASES[name.removeprefix(DISTILLATION)], dtype)
    return record_case(name, dtype)


def record_case(name: str, dtype: str) -> Arrays:
    """The recording of a case, if rounding decides nothing in it."""
    arrays = record(CASES[name], dtype)
    check_margin(CASES[name], arrays)
    return arrays


def main(names: Sequence[str]) -> None:
    """Write the recordings of these names, or all."""
    version = importlib.metadata.version("rsl-rl-lib")
    if version != REFERENCE_VERSION:
        raise SystemExit(f"The recordings are of rsl-rl-lib {REFERENCE_VERSION}; {version} is installed.")
    DATA.mkdir(exist_ok=True)
    for dtype in DTYPES:
        for name in names or ALL:
            path = DATA / f"{name}_{dtype}.npz"
            arrays = recording(name, dtype)
            np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
            print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
