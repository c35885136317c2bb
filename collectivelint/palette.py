"""The colours of all HTML pages: findings, runs, checkpoints and guides. Red is used for errors only."""

from __future__ import annotations

from typing import Final

#: Name -> in light, in dark. Text is at least 4.5:1 on paper and box.
COLOURS: Final[dict[str, tuple[str, str]]] = {
    "paper": ("#ffffff", "#13161b"),
    "ink": ("#1b212c", "#e5e9f0"),
    "soft": ("#475063", "#b4bdcb"),
    "faint": ("#5f6878", "#929cac"),
    "line": ("#dfe3ea", "#2a303a"),
    "box": ("#f5f6f8", "#1a1e25"),
    "lane": ("#f3f4f7", "#191d24"),
    "mark": ("#fff3c4", "#3b3417"),
    "accent": ("#2257c5", "#86aefc"),
    "bad": ("#b8232b", "#ff8086"),
    "on-bad": ("#ffffff", "#1a0709"),
    "added": ("#0f6a3f", "#6fcf97"),
    # Colours of text.
    "blue": ("#2f639c", "#6aa3e2"),
    "ochre": ("#805700", "#dfaa3c"),
    "teal": ("#12706b", "#4fbdb7"),
    "plum": ("#7e417c", "#c98bc7"),
    # Kinds of groups, the default group first: calls and what is written on them, then their tints.
    "on": ("#ffffff", "#10131a"),
    "g0": ("#3d4658", "#b9c2d2"),
    "g1": ("#3f78b8", "#6aa3e2"),
    "g2": ("#a06d00", "#dfaa3c"),
    "g3": ("#1f8f8a", "#4fbdb7"),
    "g4": ("#8e4f8c", "#c98bc7"),
    "t0": ("#e9ebef", "#262c36"),
    "t1": ("#e4edf7", "#1a2838"),
    "t2": ("#f9efd9", "#2b2413"),
    "t3": ("#dff1f0", "#132b2a"),
    "t4": ("#f3e6f2", "#2b1d2b"),
    # The ranks that saved the chunks of a tensor.
    "r0": ("#cdd9ea", "#29405c"),
    "r1": ("#ece0bd", "#4a3f1d"),
    "r2": ("#c8e2df", "#1d4644"),
    "r3": ("#e0d2e3", "#46304a"),
    "r4": ("#d6dae1", "#363d49"),
}


def of_page() -> str:
    """The colours as a style sheet that follows the browser's light or dark preference."""
    return f":root {{ color-scheme: light dark; {_values(0)} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {_values(1)} }} }}"


def of_guides() -> str:
    """The same for the guides, which have a light/dark switch."""
    light, dark = (f'[data-md-color-scheme="{scheme}"]' for scheme in ("default", "slate"))
    return f":root, {light} {{ {_values(0)} }}\n{dark} {{ {_values(1)} }}\n"


def _values(scheme: int) -> str:
    return " ".join(f"--{name}: {colours[scheme]};" for name, colours in COLOURS.items())
