"""Fill the cache of compiled programs, with PyTorch loaded, and see whether any process dies of it.

``python -m tests.chaos.compilations --processes 10 --programs 300`` compiles that many different programs (convolutions
and their gradients, scans, random numbers) in each of several processes, all with one cache, and starts each process a
second time, to read what the first has written. A run once died in JAX's ``put_executable_and_time``.
"""

from __future__ import annotations

import argparse
import collections
import subprocess
import sys
import tempfile

WORK = """
import faulthandler, sys
faulthandler.enable()
import torch
import jax, jax.numpy as jnp

folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.nn.Conv2d(3, 4, 3)(torch.zeros(1, 3, 8, 8))
jax.config.update("jax_compilation_cache_dir", folder)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def program(n):
    channels, size = 1 + n % 7, 6 + n % 5

    def loss(kernel, images):
        def step(carry, key):
            seen = jax.lax.conv_general_dilated(images, kernel, (1 + n % 2,) * 2, "SAME")
            return carry + jnp.mean(jnp.tanh(seen)) * jax.random.normal(key) + n, None

        return jax.lax.scan(step, 0.0, jax.random.split(jax.random.key(n), 2 + n % 3))[0]

    kernel, images = jnp.ones((2, channels, 3, 3)), jnp.ones((2, channels, size, size))
    return jax.jit(jax.grad(loss))(kernel, images)


for n in range(first, first + count):
    jax.block_until_ready(program(n))
print(f"{count} programs")
"""


def main():
    """Start the processes one after the other; print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--programs", type=int, default=300, help="in each process")
    options = parser.parse_args()
    ends: collections.Counter[int] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.processes):
            for _ in ("written", "read"):
                command = [sys.executable, "-c", WORK, folder, str(number * options.programs), str(options.programs)]
                end = subprocess.run(command, capture_output=True, text=True, check=False)
                ends[end.returncode] += 1
                if end.returncode:
                    print(end.stderr[-3000:])
    print(f"{options.processes} x {options.programs} programs, written and read: exit codes {dict(ends)}")


if __name__ == "__main__":
    main()
