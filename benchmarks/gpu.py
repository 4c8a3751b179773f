"""All GPU benchmarks in one command of at most nine minutes; ``--smoke`` runs them in small sizes on a CPU.

Run ``python benchmarks/gpu.py``. It measures an update and a whole iteration against rsl-rl-lib on the same device
(where PyTorch sees it), 1, 16 and 64 seeds at once, updates of a GRU and from images, how near an update comes to the
limits of the device (bytes and operations relative to measured maxima), and Playground's Go1 (whose meshes must be
installed). Every section is a separate process with a time limit: if one fails, hangs or runs out of memory, its
earlier measurements are kept, and the others run. The file of results is written after each section.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import tyro
from reporting import RESULTS, machine, show_table, versions

BUDGETS = {
    "roofline": 60.0,
    "update": 80.0,
    "iteration": 80.0,
    "simulator": 150.0,
    "seeds": 80.0,
    "recurrent": 45.0,
    "images": 35.0,
}
"""Seconds of each section, in the order in which they run; what one leaves over goes to those after it."""

DEVICE = (
    "import jax, json; d = jax.devices(); print(json.dumps({'platform': d[0].platform, 'kind': d[0].device_kind, "
    "'number': len(d)}))"
)

HERE = Path(__file__).resolve().parent

SECTION = (
    "import sys; sys.path.insert(0, sys.argv[1]); import gpu; "
    "gpu.measure(sys.argv[2], sys.argv[3] == 'True', gpu.Path(sys.argv[4]))"
)


def main(
    smoke: bool = False,
    sections: tuple[str, ...] = tuple(BUDGETS),
    seconds: float = 530.0,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measure all sections.

    Args:
        smoke: small sizes on the CPU, to see that everything runs.
        sections: which ones, out of roofline, update, iteration, simulator, seeds, recurrent and images.
        seconds: for all of them.
        out: file of results; ``results/gpu.json`` where not given, none for ``--smoke``.
    """
    unknown = [name for name in sections if name not in BUDGETS]
    if unknown:
        raise SystemExit(f"There is no section {', '.join(unknown)}. There are {', '.join(BUDGETS)}.")
    end = time.monotonic() + seconds
    path = out or (None if smoke else RESULTS / "gpu.json")
    report: dict[str, Any] = {"smoke": smoke, "device": device(smoke), "machine": machine(), "versions": versions()}
    report["sections"] = {}
    for index, name in enumerate(sections):
        later = sum(BUDGETS[other] for other in sections[index + 1 :])
        remaining = end - time.monotonic()
        limit = min(remaining, max(BUDGETS[name], remaining - later))
        report["sections"][name] = run(name, smoke, limit)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        show(name, report["sections"][name])
    print(f"{report['device']}; {seconds - (end - time.monotonic()):.0f} s" + (f"; written to {path}" if path else ""))
    return report


def run(name: str, smoke: bool, limit: float) -> dict[str, Any]:
    """Measure a section in a separate process, with a time limit in seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-c", SECTION, str(HERE), name, str(smoke), str(out)]
        try:
            done = subprocess.run(
                command, env=environment(smoke), capture_output=True, text=True, timeout=max(limit, 1), check=False
            )
            status, said = ("ok" if done.returncode == 0 else "failed"), done.stderr
        except subprocess.TimeoutExpired as error:
            status, said = "out of time", (error.stderr or b"").decode(errors="replace")
        result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"figures": {}}
    if status != "ok":
        result.setdefault("error", said.strip()[-2000:])
        print(f"{name} {status}: {result['error'].splitlines()[-1] if result['error'] else 'it said nothing'}")
    return {"status": status, "seconds": round(time.monotonic() - start, 1), "limit": round(limit, 1), **result}


def measure(name: str, smoke: bool, out: Path) -> dict[str, Any]:
    """Measure a section in this process, writing its figures after each measurement."""
    result: dict[str, Any] = {"figures": {}}

    def write() -> None:
        unfinished = out.with_suffix(".tmp")  # a process that is killed leaves a whole file
        unfinished.write_text(json.dumps(result), encoding="utf-8")
        unfinished.replace(out)

    def note(measurement: str, figures: dict[str, Any]) -> None:
        result["figures"][measurement] = figures
        write()

    try:
        import gpu_sections

        gpu_sections.SECTIONS[name](gpu_sections.SMOKE if smoke else gpu_sections.FULL, note)
    except Exception:
        result["error"] = traceback.format_exc()[-4000:]
        write()
        raise
    return result


def environment(smoke: bool) -> dict[str, str]:
    """Return the environment variables of sections: device memory is not preallocated, since PyTorch needs some."""
    ours = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return {**os.environ, **ours, **({"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""} if smoke else {})}


def device(smoke: bool) -> dict[str, Any]:
    """Describe JAX's device, and the driver, if there is one."""
    facts: dict[str, Any] = {}
    asked = {
        "jax": [sys.executable, "-c", DEVICE],
        "driver": ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit", "--format=csv,noheader"],
    }
    for name, command in asked.items():
        try:
            said = subprocess.run(
                command, env=environment(smoke), capture_output=True, text=True, timeout=60, check=True
            ).stdout
            facts[name] = json.loads(said.splitlines()[-1]) if name == "jax" else said.strip()
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            facts[name] = f"unknown: {type(error).__name__}"
    return facts


def show(name: str, result: dict[str, Any]) -> None:
    """Print a section's figures."""
    rows = [(what, key, text(value)) for what, figures in result["figures"].items() for key, value in figures.items()]
    show_table(f"{name}: {result['status']}, {result['seconds']} s", ("", "figure", "is"), rows)


def text(value: Any) -> str:
    """Format a figure."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    tyro.cli(main)
