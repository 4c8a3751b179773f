"""The long sweep: random configurations of all kinds, trained by rsl-rl-lib and replayed here, in float64 to 1e-9.

``python -m tests.parity.sweep --cases 500 --out sweep.jsonl`` writes a line a configuration and, at the end, the
figures that docs/parity.md has. It goes on where an earlier call was stopped. The same number of cases gives the same
configurations again.

Some configurations are no test of a formula, because rounding decides what comes out (docs/parity.md has the rule):

- the divergence of a mini-batch is within 1e-3 of where the adaptive learning rate jumps (``generate.check_margin``);
- the reference does not agree with itself: where ours disagrees, the reference learns again from observations and
  rewards that were changed by 1e-14 of themselves, and parts from itself by more than 1e-10.

These are drawn again, and counted apart.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from . import checks, comparison, reference
from .cases import Case
from .comparison import TOLERANCES, Arrays
from .distillation import comparison as distillation_comparison
from .distillation import reference as distillation_reference
from .generate import CloseCallError, check_margin
from .strategies import DISTILLATION_CASES, EXTENSIONS, random_cases

CHANGE = 1e-14
"""Share of themselves by which inputs are changed, to see whether rounding decides."""

MOVED = 1e-10
"""From which distance on, relative to its norm, an array of the reference counts as moved by that."""

FINER = (1e-12, 1e-11, 1e-10)
"""Tolerances beyond the one that is asked for; how many hold to them is told."""

AGREES, CLOSE_CALL, DISAGREES = "agrees", "close call", "disagrees"


class Kind(NamedTuple):
    """A kind of configurations.

    Attributes:
        share: how many of ten.
        cases: what they are drawn from.
        distills: whether they are of distillation.
        settings: how many settings of its numbers each structure is tried with, for these share a compiled program.
    """

    share: int
    cases: st.SearchStrategy[Case]
    distills: bool = False
    settings: int = 1


KINDS = {
    "feed-forward": Kind(3, random_cases("feed-forward")),
    "extensions": Kind(2, random_cases("feed-forward", **EXTENSIONS), settings=3),
    "recurrent": Kind(2, random_cases("recurrent"), settings=3),
    "convolutional": Kind(
        1, random_cases("convolutional", schedule=st.just("fixed"), share_cnn_encoders=st.booleans()), settings=3
    ),
    "distillation": Kind(2, DISTILLATION_CASES, distills=True),
}


def drawn(kind: str, number: int) -> list[Case]:
    """At least that many different configurations of a kind, always the same for the same number."""
    found: dict[str, Case] = {}

    @settings(
        max_examples=2 * number + 20,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind].cases)
    def draw(case: Case) -> None:
        found.setdefault(json.dumps(dataclasses.asdict(case), sort_keys=True), case)

    draw()
    cases = list(found.values())
    return [
        with_numbers_of(case, cases[(index + shift) % len(cases)])
        for index, case in enumerate(cases)
        for shift in range(KINDS[kind].settings)
    ]


def with_numbers_of(case: Case, other: Case) -> Case:
    """The same structure with another case's numbers: of the algorithm, and of the rollout."""
    numbers = {name: other.train_cfg["algorithm"].get(name) for name in comparison.TRACED}
    algorithm = case.train_cfg["algorithm"]
    if case is not other:
        algorithm = {**algorithm, **{name: value for name, value in numbers.items() if name in algorithm}}
    return dataclasses.replace(other, name=case.name, train_cfg={**case.train_cfg, "algorithm": algorithm})


def outcome(kind: str, case: Case) -> dict[str, Any]:
    """Hold our replay of a configuration to the reference.

    Returns:
        ``outcome``, one of :data:`AGREES`, :data:`CLOSE_CALL` and :data:`DISAGREES`; of the first the smallest
        tolerance tried that holds (``holds_to``), of the others ``why``.
    """
    record, agree = _distillation if KINDS[kind].distills else _ppo
    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.filterwarnings("ignore", message="The product of 'num_learning_epochs'")
        recorded = record(case)
        try:
            if not KINDS[kind].distills:
                check_margin(case, recorded)
            check = agree(case, recorded)
            check()
        except CloseCallError as reason:
            return {"outcome": CLOSE_CALL, "why": str(reason)}
        except AssertionError as failure:
            with changed_inputs(case.seed):
                moved = distances(recorded, record(case))
            name = max(moved, key=lambda key: moved[key])
            text = f"the reference parts from itself by {moved[name]:.1e} in {name}. {failure}"
            return {"outcome": CLOSE_CALL if moved[name] > MOVED else DISAGREES, "why": text}
        return {"outcome": AGREES, "holds_to": next(filter(_holds(check), FINER), TOLERANCES["float64"])}


def _holds(check: Callable[[], None]) -> Callable[[float], bool]:
    def holds(tolerance: float) -> bool:
        with mock.patch.dict(TOLERANCES, float64=tolerance):
            try:
                check()
            except AssertionError:
                return False
        return True

    return holds


def _agree_ppo(case: Case, recorded: Arrays) -> Callable[[], None]:
    replays = comparison.replay(case, recorded)
    return lambda: checks.assert_agreement(case, recorded, "float64", replays)


def _agree_distillation(case: Case, recorded: Arrays) -> Callable[[], None]:
    replays = distillation_comparison.replay(case, recorded)
    return lambda: distillation_comparison.assert_agreement(recorded, "float64", replays)


_ppo = (lambda case: reference.record(case, "float64"), _agree_ppo)
_distillation = (lambda case: distillation_reference.record(case, "float64"), _agree_distillation)


# --- whether rounding decides -----------------------------------------------------------------------------------------


def changed_inputs(seed: int) -> Any:
    """Let the reference learn from observations and rewards that differ by :data:`CHANGE` of themselves."""
    generator, original = np.random.default_rng(seed), reference.synthetic_rollout

    def changed(*args: Any) -> Arrays:
        arrays = original(*args)
        floats = {name: array for name, array in arrays.items() if np.issubdtype(array.dtype, np.floating)}
        return arrays | {name: x * (1 + CHANGE * generator.uniform(-1, 1, x.shape)) for name, x in floats.items()}

    stack = contextlib.ExitStack()
    for module in (reference, distillation_reference):
        stack.enter_context(mock.patch.object(module, "synthetic_rollout", changed))
    return stack


def distances(recorded: Arrays, again: Arrays) -> dict[str, float]:
    """How far two recordings are apart, tensor by tensor, each relative to its norm.

    Losses and divergences are left out: they are means of terms that cancel.
    """
    others = dict(tensors(again))
    return {
        name: float(np.linalg.norm(array - others[name]) / max(np.linalg.norm(array), 1e-300))
        for name, array in tensors(recorded)
        if "losses/" not in name and not name.endswith("/kl")
    }


def tensors(recorded: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """The float arrays of a recording; what holds all parameters of a model in a row is cut into tensors."""
    for name, array in recorded.items():
        if not np.issubdtype(array.dtype, np.floating):
            continue
        last = name.rsplit("/", 1)[-1]
        of_student = {"gradient": "order/student", "clipped": "order/student", "after": "order/all"}
        model, order = ("student", of_student[last]) if last in of_student else (last, f"order/{last}")
        names = recorded[order].tolist() if order in recorded else []
        sizes = [recorded[f"initial/{model}/{part}"].size for part in names]
        if names and array.ndim and array.shape[-1] == sum(sizes):
            pieces = np.split(array, np.cumsum(sizes)[:-1], axis=-1)
            yield from ((f"{name}/{part}", piece) for part, piece in zip(names, pieces, strict=True))
        else:
            yield name, array


# --- the sweep --------------------------------------------------------------------------------------------------------


def sweep(number: int, path: Path) -> list[dict[str, Any]]:
    """Compare that many configurations; gives a row a configuration, close calls among them.

    Args:
        number: of configurations that agree or disagree.
        path: file to write the rows to, and to go on from.
    """
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    shares = sum(kind.share for kind in KINDS.values())
    wanted = {name: number * kind.share // shares for name, kind in KINDS.items()}
    wanted["feed-forward"] += number - sum(wanted.values())
    with path.open("a") as file:
        for name in KINDS:
            done = [row for row in rows if row["kind"] == name]
            compared = sum(row["outcome"] != CLOSE_CALL for row in done)
            for index, case in enumerate(drawn(name, 2 * wanted[name])[len(done) :], len(done)):
                if compared == wanted[name]:
                    break
                start = time.perf_counter()
                row = {"kind": name, "index": index, **outcome(name, case)}
                row["seconds"] = round(time.perf_counter() - start, 1)
                if row["outcome"] == DISAGREES:
                    row["case"] = dataclasses.asdict(case)
                compared += row["outcome"] != CLOSE_CALL
                rows.append(row)
                print(json.dumps(row), file=file, flush=True)
                if index % 20 == 19:  # programs are kept as long as they may be needed again
                    comparison.compiled_iteration.cache_clear()
                    jax.clear_caches()
    return rows


def figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """What came out, as a table."""
    lines = [
        "| kind | compared | agree | to 1e-12 | to 1e-11 | to 1e-10 | close calls, drawn again |",
        "|---" * 7 + "|",
    ]
    for name in (*KINDS, "all"):
        of_kind = [row for row in rows if name in (row["kind"], "all")]
        outcomes = collections.Counter(row["outcome"] for row in of_kind)
        holds = [row["holds_to"] for row in of_kind if row["outcome"] == AGREES]
        numbers = [outcomes[AGREES] + outcomes[DISAGREES], outcomes[AGREES]]
        numbers += [sum(tolerance <= finer for tolerance in holds) for finer in FINER]
        lines.append(f"| {' | '.join(map(str, [name, *numbers, outcomes[CLOSE_CALL]]))} |")
    return "\n".join(lines)


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description="Random configurations in rsl-rl-lib and here.")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("sweep.jsonl"))
    args = parser.parse_args()
    rows = sweep(args.cases, args.out)
    print(figures(rows))
    if any(row["outcome"] == DISAGREES for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
