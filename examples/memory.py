"""When memory helps: swing a pole up on a cart and balance it, without velocity observations.

The actor observes the positions of cart and pole, not their velocities. A feed-forward policy cannot know whether to
push or to brake; a recurrent one remembers earlier positions. Run it in the root of the repository:
``python examples/memory.py``.
"""

# %% The environment, with its observation group split into two
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import rsl_jax
from rsl_jax.env import regroup
from rsl_jax.training import build_algorithm, make_train, spec_of

NUM_ITERATIONS, NUM_SEEDS = 300, 3
PICTURE, FILM = Path("docs/images/memory.png"), Path("docs/images/memory.gif")

cartpole = rsl_jax.make_env("playground/CartpoleSwingup", num_envs=256, config_overrides={"action_repeat": 4})
env = regroup(cartpole, {"positions": ("policy", [0, 1, 2]), "everything": "policy"})

# %% Three actors that differ in their memory, and one that needs none; the critic observes everything
FEED_FORWARD = {"class_name": "MLPModel", "hidden_dims": [64, 64], "obs_normalization": True}
RECURRENT = {"class_name": "RNNModel", "rnn_hidden_dim": 32, "hidden_dims": [64], "obs_normalization": True}
ACTORS = {
    "GRU": ("positions", {**RECURRENT, "rnn_type": "gru"}),
    "LSTM": ("positions", {**RECURRENT, "rnn_type": "lstm"}),
    "MLP": ("positions", FEED_FORWARD),
    "MLP that sees velocities": ("everything", FEED_FORWARD),
}


def config(seen, actor):
    """Return the config of a run in which the actor observes the given group."""
    return {
        "num_steps_per_env": 32,
        "obs_groups": {"actor": [seen], "critic": ["everything"]},
        "algorithm": {
            "class_name": "PPO",
            "entropy_coef": 0.001,
            "gamma": 0.98,
            "use_clipped_value_loss": False,  # returns are in the hundreds, value steps of 0.2 too small
        },
        "actor": {**actor, "distribution_cfg": {"class_name": "BetaDistribution"}},  # forces within the motor's bounds
        "critic": FEED_FORWARD,
    }


# %% Train all seeds of an actor in one program, then play one episode in each environment without exploration noise
def play(algorithm, state, key):
    """Compute the mean return of the deterministic policy; the scan carries hidden and environment states."""

    def step(loop, _):
        env_state, observations, carry = loop
        actions, carry = algorithm.policy(state, carry, observations)
        env_state, timestep = env.step(env_state, actions)
        return (env_state, timestep.observations, carry), timestep.rewards

    start = (*env.reset(key), algorithm.initial_carry(env.num_envs))
    return jnp.sum(jax.lax.scan(step, start, None, env.max_episode_length)[1], axis=0).mean()


curves, trained = {}, {}
for name, (seen, actor) in ACTORS.items():
    begin, settings = time.perf_counter(), config(seen, actor)
    train = make_train(env, settings, NUM_ITERATIONS, init_at_random_ep_len=True)
    states, metrics = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), NUM_SEEDS))
    curves[name] = np.asarray(metrics["Train/mean_reward"])  # [seeds, iterations]
    algorithm = build_algorithm(rsl_jax.RunnerConfig.from_dict(settings), spec_of(env))
    trained[name] = algorithm, jax.tree.map(lambda x: x[0], states)  # the first seed
    played = jax.jit(jax.vmap(lambda state, a=algorithm: play(a, state, jax.random.key(1))))(states)
    print(
        f"{name:24}: return at the end of training {np.round(curves[name][:, -1])}, without exploration noise "
        f"{np.round(played)}, {time.perf_counter() - begin:.0f} s",
        flush=True,
    )

# %% Plot every seed
steps = np.arange(1, NUM_ITERATIONS + 1) * env.num_envs * 32
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
COLORS = {"GRU": "tab:blue", "LSTM": "tab:orange", "MLP": "0.5", "MLP that sees velocities": "black"}
for name, rewards in curves.items():
    style = {"color": COLORS[name], "linestyle": "--" if ACTORS[name][0] == "everything" else "-"}
    axes.plot(steps, rewards.T, label=[f"{name}, {NUM_SEEDS} seeds", *["_"] * (NUM_SEEDS - 1)], **style)
axes.set(
    title="CartpoleSwingup, velocities hidden from the actor",
    xlabel="environment steps of a run",
    ylabel="mean return of the last 100 episodes",
    ylim=(0, 1000),
)
axes.grid(alpha=0.3)
axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.15, 0))
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=110)
print(f"picture: {PICTURE}")


# %% Film the GRU and the MLP from the same start, side by side
def watch(name, num_steps=200):
    """Yield images of the first environment, uint8 ``[H, W, 3]``."""
    algorithm, state = trained[name]
    act, step = jax.jit(algorithm.policy), jax.jit(env.step)
    env_state, observations = env.reset(jax.random.key(2))
    carry = algorithm.initial_carry(env.num_envs)
    for _ in range(num_steps):
        yield env.render(env_state)
        actions, carry = act(state, carry, observations)
        env_state, timestep = step(env_state, actions)
        observations = timestep.observations


pairs = list(zip(watch("GRU"), watch("MLP"), strict=True))[::2]
images = [Image.fromarray(np.hstack(pair)).reduce(2) for pair in pairs]
frames = [image.quantize(32, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for image in images]
frames[0].save(FILM, save_all=True, append_images=frames[1:], duration=2000 * env.step_dt, loop=0)
print(f"film: {FILM}")
