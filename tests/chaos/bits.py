"""Flip single bits anywhere in a checkpoint, and check that each is detected and its file named.

``python -m tests.chaos.bits --count 2000``; the short form is in ``tests/core/test_damaged_checkpoints.py``.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from rsl_jax.checkpoint import DamagedCheckpointError, check_checkpoint, save_checkpoint


def main():
    """Flip bits: every other one in a file as likely as it is large, the others in any file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    count, chance, generator = parser.parse_args().count, random.Random(0), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        weights = {f"w{n}": jnp.asarray(generator.normal(size=(256, 256)), jnp.float32) for n in range(3)}
        path = save_checkpoint(Path(folder) / "model_0", {"params": weights}, {"x": jnp.arange(9.0)}, {"iteration": 0})
        files = [file for file in path.rglob("*") if file.is_file()]
        sizes = [file.stat().st_size for file in files]
        found = 0
        for number in range(count):
            file = chance.choices(files, sizes if number % 2 else None)[0]
            content = file.read_bytes()
            bit = chance.randrange(8 * len(content))
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            try:
                check_checkpoint(path)
            except DamagedCheckpointError as error:
                found += f"'{file.relative_to(path).as_posix()}'" in error.damage
            file.write_bytes(content)
        print(f"{found} of {count} single bits found, and their files named")


if __name__ == "__main__":
    main()
