"""`make gpu`: runs test_gpu.py with any Python that has the libraries, and nothing else.

No network, no virtual environment, no stamping: what is tested is the tree's own package.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYPROJECT = HERE.parent / "{{cookiecutter.project_slug}}" / "pyproject.toml"
# Without our settings: other versions warn of other things, and conftest.py wants cookiecutter.
PYTEST = ["-m", "pytest", "-v", "--noconftest", "-o", "addopts=", "-o", "filterwarnings=default"]


def missing() -> list[str]:
    """What a stamped project and its tests need, less what is installed."""
    listed = re.search(r"^dependencies = \[(.*?)^\]", PYPROJECT.read_text(), re.M | re.S)[1]
    wanted = re.findall(r'^ *"([\w-]+)', listed, re.MULTILINE)
    return [name for name in [*wanted, "pytest"] if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return importlib.util.find_spec(name.replace("-", "_")) is not None
    return True


def main() -> None:
    if names := missing():
        sys.exit(f"make gpu: {sys.executable} has no {', '.join(names)}: install them first")
    import torch

    if not torch.cuda.is_available() and "GPU_TESTS_ON" not in os.environ:
        print(f"make gpu: there is no GPU here (torch {torch.__version__} finds no CUDA device)")
        return
    command = [sys.executable, *PYTEST, str(HERE / "test_gpu.py"), *sys.argv[1:]]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
