"""What a newcomer meets before the first command runs: extras, git, containers, clusters."""

import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

UNREACHABLE = ("failed to fetch", "error sending request", "dns error", "could not connect")


def resolve(root: pathlib.Path, constraints: pathlib.Path, *extras: str) -> str:
    """The versions that pip may install, one ``name==version`` a line, or what is in conflict."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate"]
    command += ["--no-header", "--python-version", "3.11", "-c", str(constraints)]
    command += [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run(
        [*command, str(root / "pyproject.toml")], capture_output=True, text=True, check=False
    )
    if done.returncode and any(sign in done.stderr.lower() for sign in UNREACHABLE):
        pytest.skip("no package index can be reached: " + done.stderr.strip().splitlines()[0])
    assert done.returncode == 0, f"extras {extras} cannot be installed:\n{done.stderr}"
    return done.stdout


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def extras(root: pathlib.Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return sorted(project["optional-dependencies"])


def test_all_extras_resolve_against_the_lock(repo_root):
    """Together, so each alone too: what all allow at once, a few of them allow."""
    names = extras(repo_root)
    assert {"cuda", "tpu", "demo", "ray", "torch", "dev"} <= set(names)
    found = pins(resolve(repo_root, repo_root / "requirements.lock", *names))
    lock = pins((repo_root / "requirements.lock").read_text())
    assert {"jax", "pillow", "gradio", "ray", "torch"} <= set(found)
    assert {k: found[k] for k in found.keys() & lock.keys()} == {
        k: lock[k] for k in found.keys() & lock.keys()
    }


def test_the_lock_pins_all_that_ci_installs(repo_root):
    """What is not pinned may break tomorrow: the core, and the extras of launch/test.sh."""
    of_ci = re.search(r'EXTRAS="([a-z,-]+)', (repo_root / "launch/test.sh").read_text())
    assert of_ci is not None
    found = pins(resolve(repo_root, repo_root / "requirements.lock", *of_ci[1].split(",")))
    assert found.keys() - pins((repo_root / "requirements.lock").read_text()).keys() == set()


def test_a_conflict_is_found(repo_root, tmp_path):
    lock = (repo_root / "requirements.lock").read_text()
    (tmp_path / "lock").write_text(re.sub(r"^pillow==.*$", "pillow==13.0.0", lock, flags=re.M))
    with pytest.raises(AssertionError, match="pillow"):
        resolve(repo_root, tmp_path / "lock", "demo")


def test_git_ignores_what_the_commands_write_and_no_code(repo_root):
    def ignored(*paths: str) -> set[str]:
        done = subprocess.run(
            ["git", "check-ignore", "--no-index", *paths],
            cwd=repo_root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 128:
            pytest.skip(f"no git checkout: {done.stderr.strip()}")
        return set(done.stdout.split())

    pages = [repo_root / "README.md", *(repo_root / "docs").rglob("*.md")]
    shown = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    written = set(re.findall(r"--(?:out|to|workdir)=(\w[\w./]*)", shown)) - {"OUT"} | {"site/"}
    assert len(written) >= 10
    assert ignored(*written) == written
    assert ignored("medvlp_jax/data/x.py", "data_gen/entities/x.py", "tests/data/x.py") == set()


def test_the_image_holds_all_that_the_scripts_need(repo_root):
    """Docker cannot run in a test; what it would copy, run and leave out can be read."""
    dockerfile = (repo_root / "launch/Dockerfile").read_text()
    copied = [
        word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.M) for word in line.split()
    ]
    assert all((repo_root / name).exists() for name in copied)
    packages = tomllib.loads((repo_root / "pyproject.toml").read_text())["tool"]["setuptools"]
    needed = {name.rstrip("*") for name in packages["packages"]["find"]["include"]}
    assert needed | {"launch", "benchmarks", "requirements.lock", "pyproject.toml"} <= set(copied)
    allowed = (repo_root / "launch/Dockerfile.dockerignore").read_text().split("\n")
    assert "*" in allowed
    assert {line[1:] for line in allowed if line.startswith("!")} == set(copied)


@pytest.mark.parametrize("script", ["slurm.sbatch", "experiment.sbatch"])
def test_srun_gives_each_process_its_cores(repo_root, tmp_path, script):
    """Run with an srun that writes down how it was called."""
    shutil.copytree(repo_root / "launch", tmp_path / "launch")
    (tmp_path / "launch/setup.sh").write_text("exit 0\n")
    for name in ("bin/srun", ".venv/bin/python"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\nexit 7\n')
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / "launch" / script), "--config=configs/cxr/clip_b16.py"],
        env={
            "PATH": f"{tmp_path}/bin:/usr/bin:/bin", "SLURM_SUBMIT_DIR": str(tmp_path),
            "SLURM_CPUS_PER_TASK": "12", "SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "3",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    called = (tmp_path / "called").read_text()
    assert "--cpus-per-task=12" in called
    assert "--config=configs/cxr/clip_b16.py" in called


def test_gke_trains_on_a_mounted_data_folder(repo_root):
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((repo_root / "launch/gke_jobset.yaml").read_text())
    pod = job["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    command = container["args"][0]
    assert f"--config.data.sources[0].path={mounts['data']}/" in command
    assert f"--workdir={mounts['runs']}/" in command
    assert (repo_root / re.findall(r"--config=(\S+)", command)[0]).exists()
