"""Libraries that the catalogue does not describe: which of them may start the ranks of a job."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..catalog.model import Catalog
    from ..program.resolver import Program
    from .texts import Imported, Texts

#: Packages that start no ranks, and call what they are given in the program that gives it.
_HARMLESS: Final = sys.stdlib_module_names | frozenset(
    [
        "PIL",
        "absl",
        "albumentations",
        "attr",
        "attrs",
        "cv2",
        "click",
        "datasets",
        "einops",
        "fire",
        "h5py",
        "huggingface_hub",
        "hydra",
        "hyperpyyaml",
        "hypothesis",
        "jsonargparse",
        "jiwer",
        "joblib",
        "kornia",
        "librosa",
        "loguru",
        "matplotlib",
        "mock",
        "networkx",
        "nltk",
        "numba",
        "numpy",
        "omegaconf",
        "onnx",
        "onnxruntime",
        "orjson",
        "packaging",
        "pandas",
        "parameterized",
        "pathos",
        "peft",
        "pkg_resources",
        "plotly",
        "psutil",
        "pyarrow",
        "pydantic",
        "pytest",
        "regex",
        "requests",
        "rich",
        "ruamel",
        "safetensors",
        "scipy",
        "seaborn",
        "sentencepiece",
        "setuptools",
        "simplejson",
        "six",
        "skimage",
        "sklearn",
        "soundfile",
        "sympy",
        "tabulate",
        "tensorboard",
        "tensorboardX",
        "termcolor",
        "tiktoken",
        "timm",
        "tokenizers",
        "tomli",
        "torchaudio",
        "torchinfo",
        "torchvision",
        "tqdm",
        "typer",
        "typing_extensions",
        "ujson",
        "wandb",
        "yaml",
        "yacs",
    ]
)
#: Those whose functions run on several ranks without a call that makes a process group, under a launcher of their own.
_LAUNCHED: Final = frozenset({"bagua", "byteps", "horovod", "jax", "mpi4py", "torch_xla"})
#: Those that run functions elsewhere.
_REMOTE: Final = frozenset({"dask", "modal", "pyspark", "ray", "submitit", "torchx"})
#: Parts of dotted names of what starts ranks.
_STARTING: Final = re.compile(
    r"(?i:launch|distribut(?!ions?\b)|(?:\b|_)dist(?:\b|_)|spawn|parallel|init_from_env|initiali[sz]e|ddp|fsdp|nccl"
    r"|elastic|cluster|process_group|deepspeed)|Trainer|Fabric|Strategy|Engine"
)


def is_harmless(name: str) -> bool:
    """Whether something of a library, by its dotted name, runs in the program that uses it, and starts no ranks."""
    top, _, rest = name.partition(".")
    return top in _HARMLESS or (top == "torch" and not rest.startswith("distributed"))


class Libraries:
    """The libraries that the files of a program use."""

    def __init__(self, program: Program, catalog: Catalog, texts: Texts) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._texts = program, texts
        self._starters = catalog.starters
        self._starting: dict[str, bool] = {}

    def may_start(self, path: str) -> bool:
        """Whether a file uses something of a library that may start ranks, or works only where there are several.

        That is a package that runs under a launcher or runs functions elsewhere, and of any other package (but `torch`,
        and those that are known to start none) a call whose dotted name speaks of distributed programs.
        """
        if path not in self._starting:
            self._starting[path] = any(self._is_starting(path, item) for item in self._texts.imports(path))
        return self._starting[path]

    def _is_starting(self, path: str, item: Imported) -> bool:
        if item.target.startswith("."):
            return False
        target = self._program.absolute(path, item.target)
        if target.kind != "external":
            return False
        top = target.name.partition(".")[0]
        if top == "torch" or top in _HARMLESS or not item.name:
            return False
        if top in _LAUNCHED or top in _REMOTE:
            return True
        pattern = re.compile(rb"(?<![\w.])%b((?:\.\w+)*)\s*\(" % re.escape(item.name.encode(errors="surrogateescape")))
        prefix = target.name if item.name != item.target else item.name
        return any(
            _STARTING.search(f"{prefix}{rest.decode()}") for rest in set(pattern.findall(self._texts.code(path)))
        )


def is_starting_name(name: str) -> bool:
    """Whether a dotted name of a library speaks of distributed programs."""
    return _STARTING.search(name) is not None
