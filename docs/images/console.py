"""Record the console of a real run as ``console.svg``: ``python docs/images/console.py`` trains CartpoleBalance."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from rich.console import Console

import rsl_jax
from rsl_jax.config.yaml_files import load_yaml
from rsl_jax.logging import TrainingConsole, console
from rsl_jax.logging.status import status_panel
from rsl_jax.runners import OnPolicyRunner

TASK, AT, OF = "playground/CartpoleBalance", 120, 200
PRESET = Path(rsl_jax.__file__).parent / "presets" / f"{TASK.replace('/', '-')}.yaml"
DRAWN: list[console.Status] = []


class Recording(TrainingConsole):
    """Keeps the status at one iteration."""

    def update(self, status: console.Status) -> None:
        """Take a status in."""
        super().update(status)
        if status.iteration == AT:
            DRAWN.append(self.status)


def main() -> None:
    """Train, and draw what was shown."""
    from rsl_jax.logging import logger

    logger.TrainingConsole = Recording  # type: ignore[misc]
    preset = load_yaml(PRESET.read_text())
    env = rsl_jax.make_env(TASK, num_envs=preset["num_envs"])
    runner = OnPolicyRunner(env, preset["runner"], log_dir=tempfile.mkdtemp(), title=f"{TASK} · seed 0")
    runner.learn(OF, init_at_random_ep_len=True)
    terminal = Console(file=io.StringIO(), record=True, width=100)
    terminal.print(status_panel(DRAWN[0], width=102, height=40, max_entries=12))
    terminal.save_svg(str(Path(__file__).with_name("console.svg")), title="rsl-jax train playground/CartpoleBalance")


if __name__ == "__main__":
    main()
