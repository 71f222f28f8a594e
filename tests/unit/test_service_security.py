"""What every long-running process of ours refuses at its door."""

from __future__ import annotations

from pathlib import Path

import pytest

from twohop.errors import Failed, InvalidInput, Unauthenticated
from twohop_service.auth import Keys, read_pair
from twohop_service.settings import Security, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost"])
def test_this_machine_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    Security().check(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "hop1.example"])
def test_other_machines_are_let_in_only_with_keys_and_tls_or_by_plain_words(host: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--insecure"):
        Security().check(host)
    with pytest.raises(InvalidInput):
        Security(key_file=tmp_path / "keys").check(host)
    Security(insecure=True).check(host)
    Security(key_file=tmp_path / "keys", tls_cert=tmp_path / "c", tls_key=tmp_path / "k").check(host)


def test_half_a_certificate_is_refused_even_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="go together"):
        Security(tls_cert=tmp_path / "c").check("127.0.0.1")


def test_without_keys_everybody_is_let_in() -> None:
    Keys.read(None).check(None)


def test_only_a_listed_key_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# team a\nalpha\n\nbeta\n")
    keys = Keys.read(path)
    keys.check("Bearer alpha")
    keys.check("bearer beta")
    for given in (None, "", "alpha", "Bearer", "Bearer gamma", "Basic alpha", "Bearer # team a"):
        with pytest.raises(Unauthenticated):
            keys.check(given)


def test_a_key_file_without_keys_or_without_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n")
    for name in ("empty", "absent"):
        with pytest.raises(Failed, match=name):
            Keys.read(tmp_path / name)


def test_an_encrypted_private_key_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    (tmp_path / "cert.pem").write_text("")
    with pytest.raises(Failed, match=r"key\.pem is encrypted"):
        read_pair(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_a_mark_before_the_first_key_is_none_of_it_and_keys_may_hold_any_letter(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("\ufeffclé\n".encode())
    keys = Keys.read(tmp_path / "keys")
    keys.check("Bearer " + "clé".encode().decode("latin-1"))        # as it arrives in a header
    with pytest.raises(Unauthenticated):
        keys.check("Bearer cle")


def test_a_key_file_that_is_no_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"key\n\xff\xfe")
    with pytest.raises(Failed, match="binary: byte 4 is not UTF-8"):
        Keys.read(tmp_path / "binary")
