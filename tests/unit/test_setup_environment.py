"""What `make setup` checks before and after it installs anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.development import environment
from deploy.development.pip_progress import SetupFailed, requirement_count


def test_a_python_outside_the_range_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "OLDEST", (3, 99))
    with pytest.raises(SetupFailed, match=r"make setup PYTHON="):
        environment.check_python()


def test_a_python_without_venv_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupFailed, match=r"apt-get install python3\.\d+-venv"):
        environment.check_python()


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match="was not installed"):
        environment.verify_weights(tmp_path)


def test_other_weights_are_an_error_that_names_both_digests(tmp_path: Path) -> None:
    weights = tmp_path / "lib" / "python3.11" / "site-packages" / environment.WEIGHTS
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"other")
    with pytest.raises(SetupFailed, match=f"SHA-256 d9298a10.*{environment.WEIGHTS_SHA256}"):
        environment.verify_weights(tmp_path)


def test_the_stamp_moves_with_the_place(tmp_path: Path) -> None:
    assert environment.expected_stamp(tmp_path / "a") != environment.expected_stamp(tmp_path / "b")


def test_a_damaged_stamp_is_no_stamp(tmp_path: Path) -> None:
    (tmp_path / "twohop-setup.json").write_text("{")
    assert environment.read_stamp(tmp_path) is None


def test_packages_are_counted_and_not_their_hashes() -> None:
    assert requirement_count(environment.WITHOUT_NEEDS) == 2
