"""What memory is good for: swinging a pendulum up without seeing how fast it moves.

The actor sees where the pendulum points, not its velocity. A feed-forward policy cannot know whether to push or to
brake; a recurrent one remembers where the pendulum was. Run it in the root of the repository:
``python examples/memory.py``.
"""

# %% The environment, its one observation group shown as two
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import rsl_jax
from rsl_jax.env import regroup
from rsl_jax.training import build_algorithm, make_train, spec_of

NUM_ITERATIONS, NUM_SEEDS = 300, 3
PICTURE = Path("docs/images/memory.png")

pendulum = rsl_jax.make_env("playground/PendulumSwingup", num_envs=128, config_overrides={"action_repeat": 4})
env = regroup(pendulum, {"direction": ("policy", [0, 1]), "everything": "policy"})

# %% Three actors that differ in their memory; the critic may see everything
FEED_FORWARD = {"class_name": "MLPModel", "hidden_dims": [64, 64], "obs_normalization": True}
RECURRENT = {"class_name": "RNNModel", "rnn_hidden_dim": 32, "hidden_dims": [64], "obs_normalization": True}
ACTORS = {
    "GRU": {**RECURRENT, "rnn_type": "gru"},
    "LSTM": {**RECURRENT, "rnn_type": "lstm"},
    "MLP": FEED_FORWARD,
}


def config(actor):
    """A run with this actor."""
    return {
        "num_steps_per_env": 32,
        "obs_groups": {"actor": ["direction"], "critic": ["everything"]},
        "algorithm": {
            "class_name": "PPO",
            "desired_kl": 0.02,
            "entropy_coef": 0.0,
            "gamma": 0.985,
            "use_clipped_value_loss": False,  # returns are in the hundreds: steps of 0.2 would take long to get there
        },
        "actor": {**actor, "distribution_cfg": {"class_name": "GaussianDistribution"}},
        "critic": FEED_FORWARD,
    }


# %% Train all seeds of an actor in one program, then play one episode in each environment without exploration noise
def play(algorithm, state, key):
    """Mean return of the deterministic policy; hidden states go along with the environment's."""

    def step(loop, _):
        env_state, observations, carry = loop
        actions, carry = algorithm.policy(state, carry, observations)
        env_state, timestep = env.step(env_state, actions)
        return (env_state, timestep.observations, carry), timestep.rewards

    start = (*env.reset(key), algorithm.initial_carry(env.num_envs))
    return jnp.sum(jax.lax.scan(step, start, None, env.max_episode_length)[1], axis=0).mean()


curves = {}
for name, actor in ACTORS.items():
    begin = time.perf_counter()
    states, metrics = jax.jit(jax.vmap(make_train(env, config(actor), NUM_ITERATIONS)))(
        jax.random.split(jax.random.key(0), NUM_SEEDS)
    )
    curves[name] = np.asarray(metrics["Train/mean_reward"])  # [seeds, iterations]
    algorithm = build_algorithm(rsl_jax.RunnerConfig.from_dict(config(actor)), spec_of(env))
    played = jax.jit(jax.vmap(lambda state, a=algorithm: play(a, state, jax.random.key(1))))(states)
    print(
        f"{name:4}: return at the end of training {np.round(curves[name][:, -1])}, without exploration noise "
        f"{np.round(played)}, {time.perf_counter() - begin:.0f} s"
    )

# %% Plot every seed
steps = np.arange(1, NUM_ITERATIONS + 1) * env.num_envs * 32
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
COLORS = {"GRU": "tab:blue", "LSTM": "tab:orange", "MLP": "0.5"}
for name, rewards in curves.items():
    axes.plot(steps, rewards.T, color=COLORS[name], label=[f"{name}, {NUM_SEEDS} seeds", *["_"] * (NUM_SEEDS - 1)])
axes.set(
    title="PendulumSwingup, the velocity hidden from the actor",
    xlabel="environment steps of a run",
    ylabel="mean return of the last 100 episodes",
)
axes.grid(alpha=0.3)
axes.legend(frameon=False)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=110)
print(f"picture: {PICTURE}")
