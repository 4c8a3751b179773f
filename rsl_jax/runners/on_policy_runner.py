"""RSL-RL's runner: the one place that holds training state."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.algorithms.loading import load_parts
from rsl_jax.checkpoint import Checkpoint, latest_checkpoint, lock_log_dir, read_checkpoint, save_checkpoint
from rsl_jax.config import BaseRunnerConfig, RunnerConfig
from rsl_jax.config.keys import Seed, check_ranges
from rsl_jax.distributed import lost_process
from rsl_jax.env.base import Env, VecEnv
from rsl_jax.env.deployment import deployment_of
from rsl_jax.interop import Loaded, is_rsl_rl_file, read_rsl_rl_checkpoint, write_rsl_rl_checkpoint
from rsl_jax.logging import Logger
from rsl_jax.metadata import Metadata
from rsl_jax.runners.alg import AlgorithmView
from rsl_jax.runners.checks import refuse_other_kind, refuse_without_models
from rsl_jax.runners.devices import check_agreement, processes, resolve_device
from rsl_jax.runners.evaluation import Evaluator, make_evaluator
from rsl_jax.runners.guards import Guard, NonFiniteError
from rsl_jax.runners.policy import InferencePolicy
from rsl_jax.runners.signals import hold_signals
from rsl_jax.training.evaluation import REWARD
from rsl_jax.training.loops import make_loop, spec_of_any
from rsl_jax.training.sharding import Devices, in_any_process, of_first_process, whole
from rsl_jax.training.train import algorithm_factory, check_training
from rsl_jax.trees import restore
from rsl_jax.types import Spec, TrainState


class OnPolicyRunner:
    """Runner that trains, saves, loads and exports a policy.

    On a pure :class:`rsl_jax.env.Env` an iteration is one compiled call; on a ``VecEnv`` it is compiled acting and
    learning around the environment's own step.

    Of several processes (:func:`rsl_jax.distributed.initialize`) each builds the same runner and calls the same
    methods; process 0 alone logs and writes.

    Attributes:
        env: the environments.
        cfg: the config.
        devices: all devices that the environments are spread over.
        device: the first of them in this process.
        algorithm: the algorithm, as pure functions.
        state: training state: parameters, optimiser state, normalisers, ...
        loop_state: rollout state: environments, observations, hidden states, episode statistics, random key.
        current_learning_iteration: the last finished iteration, counted from 0.
        metrics: what the last finished iteration and its evaluation, if there was one, reported, by the log's tags;
            empty before the first.
        alg: the algorithm and its models with RSL-RL's interface, for scripts written for it.
        is_distributed: whether several processes train; likewise ``gpu_world_size`` (how many there are),
            ``gpu_global_rank`` and ``gpu_local_rank`` (which one this is), as in RSL-RL.
        config_class: config type for a dict that does not name its runner.
        logger_class: type of the logger.
        checkpoint_ending: suffix of ``model_{iteration}`` in the names of the checkpoints in ``log_dir``; ``.pt``
            writes them in RSL-RL's format.
    """

    config_class: type[BaseRunnerConfig] = RunnerConfig
    logger_class: type[Logger] = Logger
    checkpoint_ending: str = ""

    def __init__(
        self,
        env: Env[Any] | VecEnv,
        train_cfg: Mapping[str, Any] | BaseRunnerConfig,
        log_dir: str | Path | None = None,
        device: str | jax.Device | None = None,
        *,
        devices: int | Sequence[jax.Device] | None = None,
        seed: int | None = None,
        console: bool = True,
        title: str | None = None,
        eval_env: Env[Any] | VecEnv | None = None,
    ) -> None:
        """Build everything and draw the initial parameters.

        Args:
            env: the environments.
            train_cfg: RSL-RL's dict, or a config. It is not changed.
            log_dir: folder for logs and checkpoints; None writes nothing.
            device: ``"cpu"``, ``"cuda:0"``, a JAX device, or None for JAX's choice. If the device does not exist,
                JAX's choice is used, with a warning.
            devices: number of devices of each process to spread the environments over, or a list of them; overrides
                ``device``.
            seed: random seed; overrides the config's.
            console: whether to show progress in the terminal.
            title: name of the run on the console; its ``run_name`` or the name of ``log_dir`` if not given.
            eval_env: the environments to evaluate in, with the config's ``eval_interval``; needed where ``env`` is a
                ``VecEnv``. If None, those of a pure ``env`` without what is random only in training.

        Raises:
            ValueError: if config, environment and devices do not fit together, or are not the same in all processes; if
                ``WORLD_SIZE`` asks for several processes that JAX does not know of. On a ``VecEnv`` without ``log_dir``
                (a policy that is replayed) only :meth:`learn` checks whether rollouts are large enough to learn from.
        """
        self.gpu_world_size, self.gpu_global_rank, self.gpu_local_rank = processes()
        self.is_distributed = self.gpu_world_size > 1
        self.env = env
        self.cfg = self.config_class.from_dict(train_cfg)
        chosen = Devices.choose([resolve_device(device)] if devices is None else devices)
        self._devices, self.devices, self.device = chosen, chosen.devices, chosen.local[0]
        self._writes = self.gpu_global_rank == 0
        self.current_learning_iteration = 0
        self.metrics: dict[str, float] = {}
        refuse_other_kind(self.cfg, self.config_class, type(self).__name__)
        self._spec = spec_of_any(env)
        build = algorithm_factory(self.cfg, self._spec, chosen)
        self.algorithm = build(None)
        self._loop = make_loop(env, self.cfg, build, chosen)
        self._learner = build(chosen.axis_name)
        self._given_log_dir = None if log_dir is None else Path(log_dir)
        self.logger = self.logger_class(
            log_dir if self._writes else None,
            self.cfg.to_dict(),
            getattr(env, "cfg", None),
            num_envs=self._spec.num_envs,
            num_steps_per_env=self.cfg.num_steps_per_env,
            title=title,
            console=console and self._writes,
        )
        self._make_evaluator = functools.partial(
            make_evaluator, env, self.cfg, eval_env, algorithm=self._learner, spec=self._spec, devices=chosen
        )
        self._evaluator: Evaluator | None = None
        # On a VecEnv without a folder the runner may only act, as in RSL-RL's scripts that replay a policy.
        self._is_prepared = isinstance(env, Env) or log_dir is not None
        if self._is_prepared:
            self._prepare_training()
        self.seed = next((s for s in (seed, self.cfg.seed) if s is not None), 0)
        check_ranges(Seed, self.seed, "seed")
        check_agreement(
            seed=str(self.seed),
            config=str(self.cfg.to_dict()),
            num_envs=str(env.num_envs),
            devices=str(len(chosen.local)),
            log_dir="none" if log_dir is None else "some",
        )
        self.state, self.loop_state = self._loop.init(jax.random.key(self.seed))
        self._best_reward = -np.inf
        self._best_state: TrainState | None = None
        self._guard = Guard(self.cfg, getattr(env, "max_episode_length", None))
        self._stop_requested = False
        self._saved_at = 0  # how many iterations the newest checkpoint has that was written or read
        self._has_saved = False
        self._loaded: set[str] = set()
        self.alg = AlgorithmView(self)

    def learn(self, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Train for a number of iterations, in addition to those already done.

        Args:
            num_learning_iterations: number of further iterations.
            init_at_random_ep_len: start every environment at a random step of its episode, so that not all end
                together.

        Raises:
            ValueError: if a model that is not trained here (the teacher of distillation) has not been loaded, rollouts
                are too small to learn from, or several processes differ in what they loaded or are asked for.
            NonFiniteError: if NaN or infinity appears, unless the config's ``on_non_finite`` is skip; the last good
                state is then on disk.
            RuntimeError: if another run trains in ``log_dir``.
            LostProcessError: if another of several processes has ended or cannot be reached.
            OSError: if nothing can be written to ``log_dir`` at the start, or the last checkpoint cannot be written
                (earlier ones are warned of, and tried again).

        After any exception, Ctrl-C among them, the runner holds the state after the last finished iteration, which is
        saved to ``log_dir``; a note in the exception says where. Several processes cannot save without each other: what
        counts then is the last regular checkpoint.
        """
        if not self._is_prepared:
            self._prepare_training()
            self._is_prepared = True
        refuse_without_models(self.algorithm, self._loaded)
        check_agreement(
            iterations_done=str(int(self.state.iteration)),
            num_learning_iterations=str(num_learning_iterations),
            init_at_random_ep_len=str(init_at_random_ep_len),
        )
        if init_at_random_ep_len:
            key, self.loop_state = self._next_key()
            self.loop_state = self._loop.randomize_episode_lengths(self.loop_state, key)
        start = int(self.state.iteration)
        total = start + num_learning_iterations
        with lock_log_dir(self.logger.log_dir), self.logger.start(start, total):
            try:
                self._train(range(start, total))
            except BaseException as error:
                self._rescue(error)
                lost = lost_process(error)
                if lost is None:
                    raise
                for note in error.__notes__:
                    lost.add_note(note)
                raise lost from error
            finally:
                self._stop_requested = False

    def request_stop(self) -> None:
        """Ask :meth:`learn` to end after the current iteration, with a checkpoint. Signal handlers may call it.

        Several processes all end after the same iteration, whichever is asked.
        """
        self._stop_requested = True

    def save(self, path: str | Path, infos: dict[str, Any] | None = None) -> None:
        """Write a checkpoint from which training continues, bit for bit where the environment is pure.

        Args:
            path: the directory to create; or a file ending in ``.pt``, which is written in RSL-RL's format (PyTorch
                must be installed) and contains no environment state.
            infos: anything that JSON can represent, returned by :meth:`load`; in a ``.pt`` file also tensors.
        """
        self._write(path, self.state, self.loop_state, infos)
        self.logger.save_model(path, self.current_learning_iteration)

    def load(
        self,
        path: str | Path,
        load_cfg: Mapping[str, bool] | None = None,
        strict: bool = True,
        map_location: str | None = None,
    ) -> dict[str, Any] | None:
        """Load a checkpoint, or parts of one.

        From a checkpoint of another algorithm only the policy is loaded, with its normaliser: a PPO actor
        becomes the teacher of distillation, a student the actor of PPO.

        Args:
            path: the checkpoint; a file ending in ``.pt`` is read in RSL-RL's format, of any version.
            load_cfg: which parts to load: ``actor``, ``critic``, ``optimizer`` (with the learning rate), ``iteration``,
                ``rnd`` (each extension by its name) and ``loop`` (environments, episode statistics, random key);
                in distillation ``student`` and ``teacher``. None loads everything.
            strict: whether everything must fit; otherwise a part that does not fit keeps its value, with a warning.
            map_location: ignored; arrays go to the runner's device.

        Returns:
            the ``infos`` that were saved with it.

        Raises:
            FileNotFoundError: if the checkpoint does not exist.
            ValueError: if it does not fit, or is damaged (:class:`rsl_jax.checkpoint.DamagedCheckpointError`).
        """
        del map_location
        if is_rsl_rl_file(path):
            return self._load_rsl_rl(path, load_cfg, strict)
        checkpoint = read_checkpoint(path)
        run = checkpoint.run
        self.state, parts = load_parts(
            self.state,
            checkpoint.state,
            run,
            load_cfg,
            algorithm=self.algorithm,
            cfg=self.cfg,
            spec=self._spec,
            strict=strict,
        )
        self._loaded |= parts
        if "loop" in parts:
            self._load_loop(checkpoint)
        if "iteration" in parts:
            self.current_learning_iteration = run.iteration
            self._saved_at = int(self.state.iteration)
            # The best evaluated reward and the best of training are not comparable.
            is_comparable = (run.config.get("eval_interval") is None) == (self.cfg.eval_interval is None)
            known = run.best_mean_reward if is_comparable else None
            self._best_reward = -np.inf if known is None else known
        self.state, self.loop_state = self._loop.take_over(self.state, self.loop_state)
        return run.infos

    @property
    def spec(self) -> Spec:
        """Observation shapes, number of actions and the like, as the algorithm sees them."""
        return self._spec

    def take(self, loaded: Loaded) -> None:
        """Continue from the contents of an RSL-RL checkpoint; it has no environment state, so that is kept."""
        self._loaded |= loaded.parts
        if loaded.iteration is not None:
            self.current_learning_iteration, self._best_reward = loaded.iteration, -np.inf
            self._saved_at = int(loaded.state.iteration)
        self.state, self.loop_state = self._loop.take_over(loaded.state, self.loop_state)

    def go_on_from(self, state: TrainState, loop_state: Any) -> None:
        """Continue from the states of a run that was trained elsewhere, such as a member of a sweep; both must fit."""
        self.state, self.loop_state = self._loop.take_over(
            restore(self.state, state, what="state"), restore(self.loop_state, loop_state, what="environments' state")
        )
        self.current_learning_iteration = max(0, int(self.state.iteration) - 1)
        self._loaded |= {*self.state.params}

    def has_loaded(self, part: str) -> bool:
        """Return whether a part (a model, ``optimizer``, ...) was loaded."""
        return part in self._loaded

    def get_inference_policy(self, device: str | None = None) -> InferencePolicy:
        """Return the current policy for inference: ``actions = policy(observations)``."""
        return InferencePolicy(self.algorithm, self.state, self.env, self.device if device is None else device)

    def export_policy_to_jit(
        self, path: str | Path, filename: str = "policy.jax", metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the policy as one compiled file, verified before it is written.

        Args:
            path: folder to write to.
            filename: name of the file. One that ends in ``.jax`` needs only JAX to run, on CPU or CUDA; ``.pt`` is
                TorchScript with RSL-RL's interface, for which PyTorch must be installed.
            metadata: what a controller needs to know, as for :meth:`export_policy_to_onnx`.

        Raises:
            ValueError: for another ending.
        """
        from rsl_jax.export import export_compiled

        facts = self._facts(metadata)
        written = export_compiled(*self._policy_model(), Path(path) / filename, metadata=facts)
        self.logger.save_policy(written)
        return written

    def export_policy_to_onnx(
        self,
        path: str | Path,
        filename: str = "policy.onnx",
        verbose: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the policy as ONNX, verified with onnxruntime before it is written.

        Args:
            path: folder to write to.
            filename: name of the file.
            verbose: whether to show the exporter's output.
            metadata: what a controller needs to know, in addition to, or overriding, what the environment provides
                (:meth:`deployment`): joint names, action scales, gains, ...
        """
        from rsl_jax.export import export_onnx

        facts = self._facts(metadata)
        written = export_onnx(*self._policy_model(), Path(path) / filename, metadata=facts, verbose=verbose)
        self.logger.save_policy(written)
        return written

    def deployment(self) -> dict[str, Any]:
        """Return what the environment tells a controller on the robot; exported policies contain it."""
        return deployment_of(self.env, self._spec)

    def checkpoint_path(self, it: int) -> str:
        """Return the path at which :meth:`learn` saves iteration ``it``."""
        return str(Path(self._log_dir or "") / f"model_{it}{self.checkpoint_ending}")

    def add_git_repo_to_log(self, repo_file_path: str | Path) -> None:
        """Also record the git state of the repository that contains this file, next to the logs."""
        self.logger.add_git_repo(repo_file_path)

    def can_start_at_random(self) -> bool:
        """Return whether :meth:`learn` can ``init_at_random_ep_len``: a time limit exists, and lengths can be set."""
        return self._loop.counts_episodes(self.loop_state)

    # --- within ------------------------------------------------------------------------------------------------------

    @property
    def _log_dir(self) -> Path | None:
        """Folder of the run: the logger's; processes that do not log know it, too, to agree on what is saved."""
        return self.logger.log_dir if self._writes else self._given_log_dir

    def _train(self, iterations: range) -> None:
        for it in iterations:
            with hold_signals() if self._loop.uses_up else contextlib.nullcontext():
                outcome = self._loop.iterate(self.state, self.loop_state)
                self.state, self.loop_state = outcome.state, outcome.loop
            self._check(it, outcome.metrics)
            self.current_learning_iteration, self.metrics = it, outcome.metrics
            if self._evaluator is not None:
                self.metrics |= self._evaluator.metrics_after(it, self.state)
            self.logger.log(
                it,
                self.metrics,
                collection_time=outcome.collection_time,
                learning_time=outcome.learning_time,
            )
            self._remember_best(self.metrics)
            is_last = it == iterations[-1] or in_any_process(self._stop_requested)
            if it % self.cfg.save_interval == 0 or is_last:
                self._save_or_warn(it, is_last=is_last)
            if is_last:
                break

    def _save_or_warn(self, it: int, *, is_last: bool) -> None:
        """Save to ``log_dir``; if that fails (a full disk), training continues as long as iterations remain."""
        if self._log_dir is None:
            return
        try:
            self.logger.flush()
            with hold_signals():  # a save that was cut short would go on in threads, in the way of the next one
                self._save_to_log_dir(it)
                self._saved_at, self._has_saved = it + 1, True
        except Exception as error:
            # What has worked before fails for reasons outside; libraries do not always call them OSError.
            if not (isinstance(error, OSError) or self._has_saved):
                raise
            what = f"could not be written to {self.checkpoint_path(it)}: {type(error).__name__}: {error}"
            if is_last:
                raise OSError(f"The last checkpoint {what}") from error
            warnings.warn(
                f"The checkpoint of iteration {it} {what}. Training continues; the next checkpoint is due after "
                f"iteration {it + self.cfg.save_interval}.",
                stacklevel=4,
            )

    def _rescue(self, error: BaseException) -> None:
        """Restore and save the state of the last finished iteration after an exception, and say so in it."""
        done = int(self.state.iteration)
        notes = []
        if self.is_distributed:
            error.add_note(self._where_to_go_on())
            return
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(self.loop_state)):
            _, self.loop_state = self._loop.init(jax.random.fold_in(jax.random.key(self.seed), done))
            notes.append("The environments restart: the compiled iteration that failed had used up their state.")
        # What NonFiniteError speaks of has been saved already, and is one iteration older.
        if done > 0 and not isinstance(error, NonFiniteError):
            self.current_learning_iteration = done - 1
            notes.append(f"The runner holds the state after iteration {done - 1}{self._saved_or_why_not(done - 1)}.")
        for note in notes:
            error.add_note(note)

    def _where_to_go_on(self) -> str:
        if self._log_dir is None:
            return "Nothing was saved, because there is no log_dir."
        newest = latest_checkpoint(self._log_dir)
        if newest is None:
            return f"There is no checkpoint in {self._log_dir} yet."
        return f"The last checkpoint is {newest}; any number of processes can go on from it."

    def _saved_or_why_not(self, it: int) -> str:
        if self._log_dir is None:
            return "; runner.save(PATH) keeps it"
        path = self.checkpoint_path(it)
        try:
            if self._saved_at != it + 1:
                with hold_signals():
                    self._save_to_log_dir(it)
                    self._saved_at = it + 1
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            return f", which could not be saved as {path} ({why}); runner.save(PATH) writes it elsewhere"
        return f", saved as {path}"

    def _prepare_training(self) -> None:
        num_envs = self._spec.num_envs // len(self.devices)
        check_training(self._learner, num_envs=num_envs, num_steps=self.cfg.num_steps_per_env)
        self._evaluator = self._make_evaluator(log_dir=self.logger.log_dir)

    def _check(self, it: int, metrics: dict[str, float]) -> None:
        self._guard.examine(it, metrics, lambda: self._save_last_good(it - 1))

    def _save_last_good(self, it: int) -> str:
        if self._log_dir is None or it < 0:
            return ""
        path = self.checkpoint_path(it)
        # The environments are not saved: they may be the cause.
        state = dataclasses.replace(whole(self.state), iteration=jnp.asarray(it + 1, jnp.int32))
        if not Path(path).exists():
            try:
                self._write(path, state, None, None)
            except Exception as error:
                return f", which could not be saved as {path}: {type(error).__name__}: {error}"
        return f", saved as {path}"

    def _write(self, path: str | Path, state: TrainState, loop_state: Any, infos: dict[str, Any] | None) -> None:
        state, loop_state = whole((state, loop_state))
        if not self._writes:
            return
        if is_rsl_rl_file(path):
            write_rsl_rl_checkpoint(path, state, self.cfg, iteration=self.current_learning_iteration, infos=infos)
        else:
            save_checkpoint(path, state, loop_state, self._metadata(infos))

    def _save_to_log_dir(self, it: int) -> None:
        if self._log_dir is None:
            return
        best, self._best_state = whole(self._best_state), None
        failure = None
        if best is not None and self._writes:
            metadata = self._metadata(None, iteration=int(best.iteration) - 1)
            try:
                save_checkpoint(self._log_dir / "model_best", best, None, metadata)
            except Exception as error:
                self._best_state, failure = best, error  # to be written with the next checkpoint
        self.save(self.checkpoint_path(it))  # also after a failure: all processes take part in it
        if failure is not None:
            raise failure

    def _remember_best(self, metrics: Mapping[str, float]) -> None:
        tag = self.algorithm.score_tag if self.cfg.eval_interval is None else REWARD
        reward = metrics.get(tag, np.nan)
        if tag == REWARD and tag in metrics:  # each process evaluates host environments of its own
            reward = of_first_process(reward)
        # A folder beside files would be in the way.
        keeps = self._log_dir is not None and not self.checkpoint_ending
        if keeps and reward > self._best_reward:
            self._best_reward = reward
            self._best_state = self.state

    def _metadata(self, infos: dict[str, Any] | None, *, iteration: int | None = None) -> dict[str, Any]:
        return Metadata.of_run(
            self.cfg,
            self._spec,
            iteration=self.current_learning_iteration if iteration is None else iteration,
            best_mean_reward=None if np.isinf(self._best_reward) else float(self._best_reward),
            infos=infos,
            seed=self.seed,
        ).to_dict()

    def _load_rsl_rl(self, path: str | Path, load_cfg: Mapping[str, bool] | None, strict: bool) -> Any:
        adopts = self.algorithm.adopts
        loaded = read_rsl_rl_checkpoint(path, self.state, cfg=self.cfg, adopts=adopts, load_cfg=load_cfg, strict=strict)
        self.take(loaded)
        return loaded.infos

    def _load_loop(self, checkpoint: Checkpoint) -> None:
        if checkpoint.loop is None:
            return
        if not isinstance(self.env, Env):  # the state of host environments cannot be restored; only the random key is
            key = restore(self.loop_state.key, checkpoint.loop["key"], what="random key")
            self.loop_state = dataclasses.replace(self.loop_state, key=key)
            return
        try:
            self.loop_state = restore(self.loop_state, checkpoint.loop, what="environments' state")
        except ValueError as error:
            warnings.warn(f"The environments restart, the rest is loaded. {error}", stacklevel=3)

    def _next_key(self) -> tuple[jax.Array, Any]:
        key, rest = jax.random.split(self.loop_state.key)
        return key, dataclasses.replace(self.loop_state, key=rest)

    def _facts(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the metadata for a controller: the environment's, and those that the caller adds or overrides."""
        return {**self.deployment(), **(metadata or {})}

    def _policy_model(self) -> tuple[Any, dict[str, Any]]:
        return self.algorithm.policy_model(self._devices.on_first(self.state))
