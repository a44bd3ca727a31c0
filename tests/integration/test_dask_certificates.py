"""Only those with certificates of the same authority take part: others are refused, and so is plain text."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from rackwright.cli.main import cli
from rackwright.core.errors import Conflict, InvalidInput, RackwrightError
from rackwright.engine.serialization.dask.certificates import make_certificates, security
from rackwright.engine.serialization.dask.policy import Dask
from tests.integration.dask_cluster import Cluster, work_of


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.worker("n1", "--status", "provisioned")
    yield cluster
    cluster.end()


def test_the_command_makes_certificates_for_their_owner_alone_and_never_overwrites(tmp_path: Path) -> None:
    out = tmp_path / "certificates"
    arguments = ["dask", "certs", "--out", str(out), "--host", "ctl1.example.net", "--host", "10.0.0.5"]
    made = CliRunner().invoke(cli, arguments)
    names = {"ca.pem", *(f"{role}.{kind}" for role in ("scheduler", "worker", "client") for kind in ("pem", "key"))}
    assert made.exit_code == 0, made.output
    assert {path.name for path in out.iterdir()} == names
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    before = (out / "ca.pem").read_bytes()
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 4
    assert "there are certificates already" in again.output
    assert (out / "ca.pem").read_bytes() == before


def test_a_certificate_holds_its_hosts_and_its_time_and_a_client_cannot_pose_as_a_server(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["localhost", "10.0.0.5"], days=30)
    worker = x509.load_pem_x509_certificate((tmp_path / "worker.pem").read_bytes())
    client = x509.load_pem_x509_certificate((tmp_path / "client.pem").read_bytes())
    names = worker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.5"]
    assert (worker.not_valid_after_utc - worker.not_valid_before_utc).days == 30
    usages = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_nothing_is_written_when_one_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "worker.key").write_text("mine")
    with pytest.raises(Conflict, match=r"worker\.key"):
        make_certificates(tmp_path, [])
    assert [path.name for path in tmp_path.iterdir()] == ["worker.key"]


def test_certificates_that_are_missing_are_named(tmp_path: Path) -> None:
    make_certificates(tmp_path, [])
    (tmp_path / "client.key").unlink()
    with pytest.raises(InvalidInput, match=r"no client\.key"):
        security(tmp_path, "client")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "tls://", "tls://127.0.0.1"])
def test_an_address_without_tls_is_refused_before_anything_is_sent(
    cluster: Cluster, tmp_path: Path, address: str
) -> None:
    policy = Dask(cluster.settings(scheduler=address), work_of(tmp_path, "return chunk"))
    with pytest.raises(InvalidInput, match="address of a scheduler with TLS"):
        list(policy.answers(b"", [b"x"]))


def test_a_client_of_another_authority_is_told_at_once(cluster: Cluster, tmp_path: Path) -> None:
    make_certificates(tmp_path / "other", ["127.0.0.1"])
    policy = Dask(cluster.settings(certificates=tmp_path / "other", grace=600.0), work_of(tmp_path, "return chunk"))
    with pytest.raises(RackwrightError, match=r"scheduler cannot be reached: .*certificate"):
        list(policy.answers(b"", [b"x"]))


def test_a_worker_of_another_authority_is_not_taken_in(cluster: Cluster, tmp_path: Path) -> None:
    make_certificates(tmp_path / "other", ["127.0.0.1"])
    stranger = cluster.start("stranger", "--control", RACKWRIGHT_CERTIFICATES=str(tmp_path / "other"))
    stranger.until("the scheduler refuses this worker, or is not to be trusted")
    answers = Dask(cluster.settings(), work_of(tmp_path, "return os.environ['MARK'].encode()")).answers(b"", [b""] * 9)
    assert set(answers) == {b"n1"}
    assert stranger.end() == 0


def test_a_plain_connection_gets_no_answer(cluster: Cluster) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=20) as plain:
        plain.sendall(b"x" * 64)
        try:
            assert b"compression" not in plain.recv(4096)
            assert plain.recv(4096) == b""
        except ConnectionResetError:
            pass


def test_a_connection_without_a_certificate_is_refused(cluster: Cluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.certificates / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", cluster.port), timeout=20) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.recv(4096)


def test_an_unreachable_scheduler_is_an_error_after_the_grace(cluster: Cluster, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tls://127.0.0.1:{closed.getsockname()[1]}"
        policy = Dask(cluster.settings(scheduler=address, grace=0.5), work_of(tmp_path, "return chunk"))
        with pytest.raises(RackwrightError, match="scheduler cannot be reached") as raised:
            list(policy.answers(b"", [b"x"]))
    assert raised.value.where == address
