"""How many processors a process can use: its affinity, and a container's CPU quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bitvit import _core
from bitvit.runtime.engine import default_threads

V2 = "29 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
V1 += "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


def _machine(folder: Path, mounts: str, groups: str, files: dict[str, str]) -> str:
    process = folder / "proc/self"
    process.mkdir(parents=True)
    (process / "mountinfo").write_text(mounts)
    (process / "cgroup").write_text(groups)
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 0.0),
        ({"a/b/cpu.max": "max 100000\n"}, 0.0),
        ({"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),  # the parent's is smaller
        ({"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "max 100000\n"}, 2.0),
        ({"a/b/cpu.max": "50000\t100000"}, 0.5),
        ({"a/b/cpu.max": "300000 100000"}, 3.0),
        ({"a/b/cpu.max": "garbage"}, 0.0),
        *(
            ({"a/b/cpu.max": text}, 0.0)
            for text in (
                "max",
                "50000",
                "50000 0",
                "0 100000",
                "-5 100000",
                "50000 -5",
                "nan 100000",
                "inf 1",
                "1e400 1",
                "\0",
            )
        ),
        ({"a/b/cpu.max": ""}, 0.0),
    ],
)
def test_version_2(tmp_path: Path, files: dict[str, str], expected: float) -> None:
    assert _core.cpu_quota(_machine(tmp_path, V2.format(root="/"), "0::/a/b\n", files)) == expected


def test_version_2_in_a_container_that_shows_its_own_group_as_the_root(tmp_path: Path) -> None:
    root = _machine(tmp_path / "x", V2.format(root="/"), "0::/\n", {"cpu.max": "300000 100000\n"})
    assert _core.cpu_quota(root) == 3.0
    # The mount shows the container's group, while the path is that of the host.
    files = {"cpu.max": "100000 100000\n"}
    root = _machine(tmp_path / "y", V2.format(root="/docker/abc"), "0::/docker/abc\n", files)
    assert _core.cpu_quota(root) == 1.0


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("-1", "100000", 0.0), ("250000", "100000", 2.5), ("10000", "50000", 0.2), ("100000", "0", 0.0)],
)
def test_version_1(tmp_path: Path, quota: str, period: str, expected: float) -> None:
    files = {
        "cpu,cpuacct/kubepods/pod/cpu.cfs_quota_us": quota,
        "cpu,cpuacct/kubepods/pod/cpu.cfs_period_us": period,
    }
    groups = "12:memory:/other\n4:cpu,cpuacct:/kubepods/pod\n0::/\n"
    assert _core.cpu_quota(_machine(tmp_path, V1.format(root="/"), groups, files)) == expected


def test_the_smaller_of_both_versions_counts(tmp_path: Path) -> None:
    mounts = V1.format(root="/") + V2.format(root="/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    files = {
        "cpu,cpuacct/g/cpu.cfs_quota_us": "300000",
        "cpu,cpuacct/g/cpu.cfs_period_us": "100000",
        "unified/h/cpu.max": "200000 100000",
    }
    assert _core.cpu_quota(_machine(tmp_path, mounts, "4:cpu,cpuacct:/g\n0::/h\n", files)) == 2.0


def test_without_control_groups(tmp_path: Path) -> None:
    assert _core.cpu_quota(str(tmp_path)) == 0.0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITVIT_PROCESSORS", raising=False)
    allowed = os.sched_getaffinity(0)
    quota = _core.cpu_quota()
    limit = len(allowed) if quota == 0 else max(1, min(len(allowed), int(quota)))
    assert default_threads() == limit
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("text", ["3", "200"])
def test_the_number_can_be_set(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BITVIT_PROCESSORS", text)
    assert default_threads() == int(text)


@pytest.mark.parametrize("text", ["", "0", "-2", "many"])
def test_a_number_that_is_none_is_ignored(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delenv("BITVIT_PROCESSORS", raising=False)
    expected = default_threads()
    monkeypatch.setenv("BITVIT_PROCESSORS", text)
    assert default_threads() == expected


def test_a_mount_point_with_a_space(tmp_path: Path) -> None:
    mounts = V2.format(root="/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/a\\040b")
    root = _machine(tmp_path, mounts, "0::/g\n", {"a b/g/cpu.max": "50000 100000"})
    assert _core.cpu_quota(root) == 0.5


@pytest.mark.parametrize(
    "groups", ["", "garbage", "::::\n", "0::\n", "0::/../../etc\n", "0:://g\n", "0::/" + "x/" * 500 + "\n"]
)
@pytest.mark.parametrize(
    "mounts",
    ["", "x\n", " - \n", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2\n", "29 - cgroup2 - \n", "\\04 \\ - cgroup2\n"],
)
def test_lists_that_make_no_sense(tmp_path: Path, mounts: str, groups: str) -> None:
    assert _core.cpu_quota(_machine(tmp_path, mounts, groups, {"cpu.max": "garbage"})) == 0.0
