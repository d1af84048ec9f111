"""What `pip install keytoll` puts on somebody's machine."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    if uv := shutil.which("uv"):
        command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    elif importlib.util.find_spec("pip") is None:
        pytest.skip("neither uv nor pip is here to build a wheel")
    else:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_nothing_but_keytoll(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"keytoll"}
    for carried in (
        "keytoll/_bundled/api/chat/encodings/o200k_base.bin",
        "keytoll/_bundled/api/chat/encodings/cl100k_base.bin",
        "keytoll/_bundled/api/chat/encodings/NOTICE",
    ):
        assert carried in names
    strays = [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert not strays


def test_every_data_file_of_the_checkout_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [
        path.relative_to(ROOT).as_posix()
        for folder in ("api", "domain", "pricing", "projections", "workers")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and f"keytoll/_bundled/{path.relative_to(ROOT).as_posix()}" not in names
    ]
    assert not missing


def test_it_runs_beside_a_package_that_has_our_names(wheel: Path, tmp_path: Path) -> None:
    """Another distribution's top-level `api` must neither be used nor overwritten."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin/python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    site = Path(where.stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name in ("api", "domain", "pricing"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise ImportError('the decoy was imported')\n")
    # The dependencies of the development environment, after the decoys on the path.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for arguments in (["-c", "import keytoll, api, domain; print(api.__file__)"],):
        shown = subprocess.run(
            [python, *arguments], check=True, capture_output=True, text=True, cwd=tmp_path
        )
        assert "_bundled" in shown.stdout
    program = subprocess.run(
        [python, "-m", "keytoll", "--version"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert program.returncode == 0, program.stderr
    assert program.stdout.startswith("keytoll ")
