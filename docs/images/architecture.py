"""Draw ``architecture.svg``, as plain shapes and text: ``python docs/images/architecture.py``."""

from __future__ import annotations

from html import escape
from pathlib import Path

WIDTH, HEIGHT = 960, 560
BLUE, GREEN, AMBER, GREY = "#e3eefc", "#e4f4e6", "#fdf1d8", "#f2f3f5"
FONT = "font-family='Helvetica, Arial, sans-serif'"


def box(x: int, y: int, width: int, height: int, title: str, lines: tuple[str, ...] = (), fill: str = GREY) -> str:
    """Draw a box with a title and lines of text below it."""
    middle = x + width / 2
    texts = [
        f"<text x='{middle}' y='{y + 24}' text-anchor='middle' font-size='16' font-weight='bold' {FONT}>"
        f"{escape(title)}</text>"
    ]
    texts += [
        f"<text x='{middle}' y='{y + 46 + 19 * row}' text-anchor='middle' font-size='14' {FONT}>{escape(line)}</text>"
        for row, line in enumerate(lines)
    ]
    shape = f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='8' fill='{fill}' stroke='#5b6570'/>"
    return shape + "".join(texts)


def arrow(x1: int, y1: int, x2: int, y2: int, label: str = "", *, dx: int = 0) -> str:
    """Draw an arrow with a label beside its middle."""
    line = f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='#333' stroke-width='1.6' marker-end='url(#head)'/>"
    x, y = (x1 + x2) / 2 + dx, (y1 + y2) / 2
    text = (
        f"<text x='{x}' y='{y - 6}' text-anchor='middle' font-size='13' {FONT}>{escape(label)}</text>" if label else ""
    )
    return line + text


def main() -> None:
    """Write the picture."""
    parts = [
        # Three ways in
        box(20, 20, 290, 92, "make_train", ("pure Env", "a whole run is one program: jit, vmap"), BLUE),
        box(335, 20, 290, 92, "OnPolicyRunner", ("pure Env", "an iteration is one compiled call"), BLUE),
        box(650, 20, 290, 92, "OnPolicyRunner", ("host VecEnv: numpy, torch, JAX", "compiled act and update"), BLUE),
        *(arrow(x, 112, x, 166) for x in (165, 480, 795)),
        # The iteration
        "<rect x='20' y='168' width='920' height='196' rx='10' fill='#fff' stroke='#5b6570' stroke-dasharray='5 4'/>",
        f"<text x='36' y='192' font-size='14' {FONT}>one iteration: the same pure functions in all three</text>",
        box(50, 216, 230, 110, "collect", ("T steps of N environments", "algorithm.act, env.step"), GREEN),
        box(365, 216, 230, 110, "prepare", ("bootstraps at time-outs", "intrinsic rewards"), GREEN),
        box(680, 216, 230, 110, "update", ("epochs x mini-batches", "losses, gradients, optimiser"), GREEN),
        arrow(280, 271, 363, 271, "Rollout"),
        arrow(595, 271, 678, 271, "Rollout"),
        "<path d='M 795 326 V 348 H 165 V 328' fill='none' stroke='#333' stroke-width='1.6' marker-end='url(#head)'/>",
        f"<text x='480' y='343' text-anchor='middle' font-size='13' {FONT}>TrainState, LoopState</text>",
        # What they are made of
        *(arrow(x, 412, x, 366) for x in (165, 480, 795)),
        box(
            20,
            414,
            290,
            126,
            "environments",
            ("SingleEnv + vectorize, Env, VecEnv", "Playground, Brax, gymnax,", "Gymnasium, your own"),
            AMBER,
        ),
        box(
            335,
            414,
            290,
            126,
            "algorithms and extensions",
            ("PPO, Distillation", "curiosity (RND), symmetry", "your own by import path"),
            AMBER,
        ),
        box(
            650,
            414,
            290,
            126,
            "models and distributions",
            ("MLP, GRU, LSTM, CNN", "Gaussian, Beta, Categorical", "formulas on arrays (ops)"),
            AMBER,
        ),
    ]
    head = (
        "<defs><marker id='head' markerWidth='10' markerHeight='8' refX='9' refY='4' orient='auto'>"
        "<path d='M0,0 L10,4 L0,8 z' fill='#333'/></marker></defs>"
    )
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>"
        "<title>Three ways to train share one iteration, which is made of environments, algorithms and models</title>"
        f"{head}<rect width='{WIDTH}' height='{HEIGHT}' rx='12' fill='#fff'/>{''.join(parts)}</svg>\n"
    )
    Path(__file__).with_name("architecture.svg").write_text(svg.replace("><", ">\n<"))


if __name__ == "__main__":
    main()
