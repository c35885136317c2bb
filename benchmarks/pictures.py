"""The pictures of the README and the guides, of real runs of the examples: `make pictures`.

Lints the example, traces its broken job, damages a checkpoint of the correct one, writes the page of each and takes
screenshots of them, light and dark, into docs/pictures. It needs a Chromium (`CHROMIUM=path`, or one on PATH) and Pillow.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURES: Final = ROOT / "docs" / "pictures"
TORCHRUN: Final = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
#: Each page: its width and height in the picture, in CSS pixels.
SIZES: Final = {"run": (1200, 1080), "findings": (1000, 790), "map": (1200, 660)}
#: Pixels of a picture for each CSS pixel, and the most bytes that one may have.
SCALE: Final = 1.5
MOST: Final = 150_000
#: Chromium's numbers of the colour schemes.
SCHEMES: Final = {"light": 1, "dark": 0}


def collectivelint(arguments: Sequence[str], cwd: Path, code: int) -> None:
    """Run the command in a folder; it has to end with this exit code."""
    command = [sys.executable, "-m", "collectivelint", *arguments]
    ran = subprocess.run(command, cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if ran.returncode != code:
        sys.exit(f"{' '.join(arguments)}: exit code {ran.returncode}, expected {code}\n{ran.stdout}\n{ran.stderr}")


def damage(checkpoint: Path) -> None:
    """Change one bit of a tensor, and cut off the file of rank 2."""
    from torch.distributed.checkpoint import FileSystemReader

    stored = FileSystemReader(checkpoint).read_metadata().storage_data
    found = next(info for index, info in stored.items() if index.fqn == "model.blocks.0.weight")
    file = checkpoint / found.relative_path
    data = bytearray(file.read_bytes())
    # torch.save begins the values 768 bytes into its archive at most.
    data[found.offset + 800] ^= 0x10
    last = checkpoint / "__2_0.distcp"
    for path, content in ((file, bytes(data)), (last, last.read_bytes()[: last.stat().st_size * 2 // 3])):
        written = path.stat().st_mtime_ns
        path.write_bytes(content)
        os.utime(path, ns=(written, written))


def pages(work: Path) -> None:
    """Write run.html, findings.html and map.html of real runs into a folder."""
    for name in ("broken", "correct"):
        shutil.copytree(
            ROOT / "examples" / name, work / name, ignore=shutil.ignore_patterns("__pycache__", "checkpoints")
        )
    collectivelint(["--isolated", "--output-format", "html", "--output-file", "findings.html", "broken"], work, 1)
    job = ["trace", "--out-dir", "trace", "--", *TORCHRUN, "broken/train.py", "--dir", str(work / "hangs")]
    collectivelint(job, work, 1)
    collectivelint(["report", "trace", "--html", "run.html"], work, 1)
    sound = ["trace", "--out-dir", "trace", "--", *TORCHRUN, "correct/train.py", "--dir", str(work / "checkpoints")]
    collectivelint(sound, work, 0)
    step = max((work / "checkpoints").glob("step_*"))
    damage(step)
    collectivelint(["ckpt", "verify", str(step.relative_to(work)), "--html", "map.html"], work, 1)


def picture(browser: str, page: Path, scheme: str) -> None:
    """A screenshot of the top of a page."""
    name = f"{page.stem}-{scheme}"
    width, height = SIZES[page.stem]
    shot = page.parent / f"{name}.png"
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=5000",
        f"--user-data-dir={page.parent / 'profile'}",
        f"--force-device-scale-factor={SCALE}",
        f"--window-size={width},{height}",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        f"--screenshot={shot}",
    ]
    subprocess.run([browser, *options, page.as_uri()], capture_output=True, timeout=120, check=True)
    out = PICTURES / f"{name}.webp"
    Image.open(shot).convert("RGB").save(out, lossless=True, quality=100, method=6)
    if out.stat().st_size > MOST:
        sys.exit(f"{out}: {out.stat().st_size} bytes, more than {MOST}")
    print(f"{out.relative_to(ROOT)}  {out.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Make all of them."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, filter(None, names))), None)
    if browser is None:
        sys.exit("no Chromium found: set CHROMIUM to its path")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pages(work)
        for name in SIZES:
            page = work / f"{name}.html"
            # The names of the run and of its clock have the name of this machine in them.
            shown = re.sub(r"run-(\d{8}-\d{6})-[\w.-]+-\d+", r"run-\1-node-a-4711", page.read_text())
            page.write_text(re.sub(r"by the clock of [\w.-]*\w", "by the clock of node-a", shown))
            for scheme in SCHEMES:
                picture(browser, page, scheme)


if __name__ == "__main__":
    main()
