"""The GPU benchmark runs in small sizes on a CPU, and a failing section does not affect the others."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("gpu")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_section_is_measured_beside_one_that_fails(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "BUDGETS", {"absent": 1.0, "roofline": 1.0})
    path = tmp_path / "gpu.json"
    gpu.main(smoke=True, sections=("absent", "roofline"), seconds=280.0, out=path)
    report = json.loads(path.read_text(encoding="utf-8"))
    absent, roofline = report["sections"]["absent"], report["sections"]["roofline"]
    assert absent["status"] == "failed"
    assert "KeyError: 'absent'" in absent["error"]
    assert "absent failed: KeyError: 'absent'" in capsys.readouterr().out
    assert roofline["status"] == "ok", roofline
    assert roofline["figures"]["ceilings"]["bytes_per_second"] > 0
    assert roofline["figures"]["update"]["share_of_roofline"] > 0
    assert report["device"]["jax"]["platform"] == "cpu"
    assert "jax" in report["versions"]


def test_a_section_that_runs_out_of_time_is_told(gpu):
    result = gpu.run("roofline", smoke=True, limit=1.0)
    assert (result["status"], result["figures"]) == ("out of time", {})


def test_an_unknown_section_is_refused(gpu):
    with pytest.raises(SystemExit, match=r"There is no section hop\. There are roofline, update, iteration"):
        gpu.main(sections=("hop",))
