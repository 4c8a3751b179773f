"""Results of a sweep: curves by setting and seed, and the trained members."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.logging.curves import Band, draw, label_of_tag
from rsl_jax.sweeps.program import Population
from rsl_jax.sweeps.settings import Member, apply_setting, label_of
from rsl_jax.sweeps.statistics import SCORE, interquartile_mean, mean_of_last, thinned
from rsl_jax.training.iteration import LoopState
from rsl_jax.training.reports import find_failures
from rsl_jax.trusted import reading_run
from rsl_jax.types import TrainState

if TYPE_CHECKING:
    import pandas

    from rsl_jax.runners import OnPolicyRunner


class Trained(NamedTuple):
    """Trained member of a sweep.

    Attributes:
        member: the member.
        cfg: its complete config.
        state: its training state.
        loop: its rollout state.
        failed: iteration in which NaN or infinity occurred, or None.
    """

    member: Member
    cfg: BaseRunnerConfig
    state: TrainState
    loop: LoopState
    failed: int | None

    def runner(self, env: Env[Any], log_dir: str | Path | None = None, **options: Any) -> OnPolicyRunner:
        """Return a runner with this state, to continue training, save, export and play.

        Args:
            env: the same environments, as many as in the sweep.
            log_dir: folder for logs and checkpoints; None writes nothing.
            **options: any other argument of :class:`rsl_jax.runners.OnPolicyRunner`.
        """
        from rsl_jax.config import DistillationRunnerConfig
        from rsl_jax.runners import DistillationRunner, OnPolicyRunner

        kind = DistillationRunner if isinstance(self.cfg, DistillationRunnerConfig) else OnPolicyRunner
        runner = kind(env, self.cfg, log_dir, seed=self.member.seed, **options)
        runner.go_on_from(self.state, self.loop)
        return runner


@dataclass(frozen=True)
class SweepResult:
    """Result of a sweep, finished or not.

    Attributes:
        cfg: the config that the settings change.
        members: all runs, setting by setting, seed by seed.
        metrics: by log tag, ``[members, iterations]``; NaN where a member has no such tag, or was not trained.
        failed: iteration in which NaN or infinity occurred, ``[members]``; -1 for none.
        steps_per_iteration: environment steps of one member in one iteration.
        seconds: duration of the training, including compilation.
        populations: the trained members, a population of numpy arrays for each program and the indices of its members.
        score: tag by which members are ranked, the default of all methods: that of evaluations, if there are any, else
            the mean reward (with curiosity, the extrinsic one).
    """

    cfg: BaseRunnerConfig
    members: Sequence[Member]
    metrics: Mapping[str, np.ndarray]
    failed: np.ndarray
    steps_per_iteration: int
    seconds: float
    populations: Sequence[tuple[Population, Sequence[int]]] = ()
    score: str = SCORE

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """The settings without duplicates, in order."""
        seen: list[Mapping[str, Any]] = []
        for member in self.members:
            if member.setting not in seen:
                seen.append(member.setting)
        return seen

    @property
    def iterations(self) -> int:
        """Number of iterations of each member, trained or not."""
        return int(next(iter(self.metrics.values())).shape[1])

    def curves(self, setting: Mapping[str, Any], tag: str | None = None) -> np.ndarray:
        """Return the curves of a setting's seeds, ``[seeds, iterations]``.

        Raises:
            ValueError: for an unknown tag.
        """
        rows = [member.index for member in self.members if member.setting == setting]
        return self._rows(tag)[rows]

    def scores(self, tag: str | None = None, *, last: int = 10) -> np.ndarray:
        """Compute the mean of each member's last iterations, ``[members]``; NaN for one that failed or has no value.

        Args:
            tag: tag of the score; :attr:`score` if None.
            last: number of iterations to average.
        """
        return np.where(self.failed < 0, mean_of_last(self._rows(tag), last), np.nan)

    def values(self, path: str) -> np.ndarray:
        """Return the values of a varied key in each member and iteration, ``[members, iterations]``.

        Raises:
            ValueError: for a key that does not vary.
        """
        if path not in self.members[0].setting:
            varied = ", ".join(self.members[0].setting) or "none"
            raise ValueError(f"'{path}' was not varied. Varied keys: {varied}.")
        values = np.array([member.setting[path] for member in self.members], dtype=object)
        return values[:, None].repeat(self.iterations, axis=1)

    def summary(self, tag: str | None = None, *, last: int = 10) -> list[dict[str, Any]]:
        """Summarise the settings, the best first.

        Returns:
            for each setting its values, the interquartile mean of its seeds' scores with the bounds of the 95 %
            bootstrap interval (``iqm``, ``low``, ``high``), the scores of the ``worst`` and the ``best`` seed, the
            number of ``seeds``, and how many of them ``failed``.
        """
        scores, rows = self.scores(tag, last=last), []
        for setting in self.settings:
            indices = [member.index for member in self.members if member.setting == setting]
            own = scores[indices]
            middle, low, high = interquartile_mean(own[~np.isnan(own)][:, None])
            rows.append(
                {
                    **setting,
                    "iqm": float(middle[0]),
                    "low": float(low[0]),
                    "high": float(high[0]),
                    "worst": float(np.nanmin(own)) if len(own[~np.isnan(own)]) else np.nan,
                    "best": float(np.nanmax(own)) if len(own[~np.isnan(own)]) else np.nan,
                    "seeds": len(own),
                    "failed": int((self.failed[indices] >= 0).sum()),
                }
            )
        return sorted(rows, key=lambda row: -np.inf if np.isnan(row["iqm"]) else row["iqm"], reverse=True)

    def frame(self, tags: Sequence[str] | None = None) -> pandas.DataFrame:
        """Return a tidy pandas table: a row per member and iteration; columns: settings, seed, iteration, steps, tags.

        Args:
            tags: tags to include; all if None.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A table needs pandas: pip install pandas. summary() and curves() do not.") from error
        columns: dict[str, Any] = {path: self.values(path).ravel() for path in self.members[0].setting}
        columns["seed"] = np.repeat([member.seed for member in self.members], self.iterations)
        columns["iteration"] = np.tile(np.arange(self.iterations), len(self.members))
        columns["steps"] = (columns["iteration"] + 1) * self.steps_per_iteration
        columns |= {tag: self._rows(tag).ravel() for tag in (tags or self.metrics)}
        return pandas.DataFrame(columns).infer_objects()

    def member(self, index: int) -> Trained:
        """Return a trained member.

        Raises:
            IndexError: if there is no member with this index.
            ValueError: if its state was not kept.
        """
        member = self.members[index]
        for population, indices in self.populations:
            if member.index in indices:
                row = list(indices).index(member.index)
                state, loop = jax.tree.map(lambda x, row=row: x[row], (population.state, population.loop))
                failed = int(self.failed[member.index])
                return Trained(
                    member, apply_setting(self.cfg, member.setting), state, loop, None if failed < 0 else failed
                )
        raise ValueError(f"The state of member {member.index} was not kept, only its metrics.")

    def best(self, tag: str | None = None, *, last: int = 10) -> Trained:
        """Return the member with the highest score.

        Raises:
            ValueError: if no member has a score.
        """
        scores = self.scores(tag, last=last)
        if np.isnan(scores).all():
            raise ValueError(
                f"No member has a value of '{tag or self.score}': no episode has ended, or all failed. "
                "Train longer, or give another tag."
            )
        return self.member(int(np.nanargmax(scores)))

    def plot(self, path: str | Path | None = None, *, tag: str | None = None, title: str = "", axes: Any = None) -> Any:
        """Plot the interquartile mean of each setting's seeds over the steps, with its 95 % bootstrap band.

        Args:
            path: file to also write the plot to.
            tag: tag to plot; :attr:`score` if None.
            title: title of the plot.
            axes: axes of matplotlib to draw into; None for a new figure.

        Returns:
            the figure, matplotlib's.
        """
        bands = {}
        for setting in self.settings:
            curves = self.curves(setting, tag)
            x, rows = thinned(curves, self.steps_per_iteration)
            middle, low, high = interquartile_mean(rows)
            one = len(curves) == 1
            what = "1 seed" if one else f"IQM of {len(curves)} seeds, 95 % band"
            bands[label_of(setting)] = Band(x, middle, None if one else low, None if one else high, what)
        y_label = label_of_tag(tag or self.score)
        figure = draw(bands, x_label="environment steps", y_label=y_label, title=title, axes=axes)
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
        return figure

    def describe_failures(self) -> list[str]:
        """Return a line for each member in which NaN or infinity occurred: which member, when, and where."""
        return [
            f"{self.members[index].label}, seed {self.members[index].seed}: {', '.join(names)} in iteration {iteration}"
            for (index,), iteration, names, _ in find_failures(self.metrics)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return its description without the arrays, as JSON values."""
        return {
            "cfg": self.cfg.to_dict(),
            "members": [dataclasses.asdict(member) for member in self.members],
            "steps_per_iteration": self.steps_per_iteration,
            "seconds": self.seconds,
            "score": self.score,
        }

    def save(self, path: str | Path) -> Path:
        """Write metrics and settings to one ``.npz`` file for :meth:`load`; the states are in the sweep's folder.

        Returns:
            the path of the file.
        """
        path = Path(path).with_suffix(".npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"metrics/{tag}": rows for tag, rows in self.metrics.items()}
        np.savez_compressed(path, description=json.dumps(self.to_json()), failed=self.failed, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> SweepResult:
        """Read a file of :meth:`save`.

        Raises:
            ValueError: if the file contains something else.
        """
        with np.load(path, allow_pickle=False) as file:
            if "description" not in file:
                raise ValueError(f"'{path}' contains no sweep.")
            content = json.loads(str(file["description"]))
            metrics = {name.removeprefix("metrics/"): file[name] for name in file.files if name.startswith("metrics/")}
            failed = file["failed"]
        with reading_run(path):  # whose names are restricted like a checkpoint's
            cfg = BaseRunnerConfig.from_dict(content["cfg"])
        return cls(
            cfg=cfg,
            members=[Member(**member) for member in content["members"]],
            metrics=metrics,
            failed=failed,
            steps_per_iteration=content["steps_per_iteration"],
            seconds=content["seconds"],
            score=content["score"],
            **cls._others(content),
        )

    @classmethod
    def _others(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Read the fields that a subclass adds to :meth:`to_json`."""
        return {}

    def _rows(self, tag: str | None) -> np.ndarray:
        tag = tag or self.score
        if tag not in self.metrics:
            raise ValueError(f"There is no tag '{tag}'. Tags: {', '.join(sorted(self.metrics))}.")
        return self.metrics[tag]
