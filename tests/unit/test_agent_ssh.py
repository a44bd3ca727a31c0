"""The rack's key on an installed machine: let in once, beside the others."""

from __future__ import annotations

from pathlib import Path

from rackwright.agent.ssh import let_in

OURS = "ssh-ed25519 AAAA rackwright"


def test_the_key_is_added_once_and_for_its_owner_only(tmp_path: Path) -> None:
    assert let_in(OURS, tmp_path)
    assert not let_in("ssh-ed25519 AAAA another-comment", tmp_path)
    file = tmp_path / ".ssh" / "authorized_keys"
    assert file.read_text() == OURS + "\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_keys_of_others_stay(tmp_path: Path) -> None:
    file = tmp_path / ".ssh" / "authorized_keys"
    file.parent.mkdir()
    file.write_text("ssh-rsa BBBB someone")
    assert let_in(OURS, tmp_path)
    assert file.read_text() == f"ssh-rsa BBBB someone\n{OURS}\n"
