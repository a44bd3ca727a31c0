"""The catalog `metal`: what makes a system a machine's own: NoCloud files, first files, answers for installers."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.unit.metal_scripts import BONDED, GIB, KEY, answers, same_as_kept, text, told, wish

PLACES = {"${DOOR}", "${TOKEN}", "${REQUEST}"}
PAIR = [{"serial": "SSD1", "bytes": 100 * GIB}, {"serial": "SSD2", "bytes": 100 * GIB}]
LAYOUTS = ("flat", "lvm", "raid1")


def with_layout(name: str, **more: Any) -> Any:
    disks = PAIR if name == "raid1" else PAIR[:1]
    return wish(BONDED, storage={"layout": name, "swap_bytes": GIB}, disks=disks, **more)


def paths(seed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in seed}


def parsed_cloud_config(said: str) -> Any:
    assert said.startswith("#cloud-config\n")
    return yaml.safe_load(said)


# ---- NoCloud


def test_the_files_of_nocloud_are_as_they_are_kept() -> None:
    same_as_kept("nocloud.json", answers.nocloud(wish(BONDED)))


def test_the_instance_is_the_request_so_that_a_new_installation_is_a_new_instance() -> None:
    made = answers.nocloud(wish())
    assert yaml.safe_load(made["meta-data"])["instance-id"] == "${REQUEST}"
    assert yaml.safe_load(made["network-config"])["version"] == 2


def test_what_people_give_to_cloud_init_is_passed_on_and_stands_above_ours() -> None:
    script = "#!/bin/sh\necho hello\n"
    assert answers.nocloud(wish(user_data=script))["user-data"] == script
    made = answers.nocloud(wish(user_data={"packages": ["htop"]}))
    assert parsed_cloud_config(made["user-data"]) == {"packages": ["htop"]}
    assert parsed_cloud_config(made["vendor-data"])["users"] == [{"name": "root", "ssh_authorized_keys": [KEY]}]


def test_another_user_than_root_has_the_keys_and_sudo_and_root_is_shut() -> None:
    ours = parsed_cloud_config(answers.nocloud(wish(user="anna"))["vendor-data"])
    assert ours["disable_root"] is True
    assert ours["users"][0]["name"] == "anna"
    assert ours["users"][0]["sudo"] == "ALL=(ALL) NOPASSWD:ALL"


# ---- first files


def test_an_image_with_cloud_init_gets_its_files_where_cloud_init_looks_unasked() -> None:
    seed = paths(answers.image_seed(wish(BONDED), text, cloud_init=True, network="networkd"))
    folder = "/var/lib/cloud/seed/nocloud"
    assert {f"{folder}/{name}" for name in ("meta-data", "user-data", "vendor-data", "network-config")} <= seed.keys()
    assert "/etc/hostname" not in seed


def test_an_image_without_cloud_init_gets_its_name_keys_and_network_themselves() -> None:
    seed = paths(answers.image_seed(wish(BONDED), text, cloud_init=False, network="networkd"))
    assert seed["/etc/hostname"]["content"] == "n1\n"
    assert "127.0.1.1 n1.rack.example n1\n" in seed["/etc/hosts"]["content"]
    assert seed["/root/.ssh/authorized_keys"] == {
        "path": "/root/.ssh/authorized_keys", "content": f"{KEY}\n", "mode": "0600",
    }  # fmt: skip
    assert seed["/etc/resolv.conf"]["content"] == "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch rack.example\n"
    assert "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service" in seed
    assert not any(path.startswith("/var/lib/cloud") for path in seed)


@pytest.mark.parametrize("cloud_init", [True, False])
def test_every_image_tells_the_rack_when_it_runs_and_secrets_are_for_root_alone(cloud_init: bool) -> None:
    seed = paths(answers.image_seed(wish(), text, cloud_init=cloud_init, network="networkd"))
    settings = seed["/etc/rackwright/agent.json"]
    assert json.loads(settings["content"]) == {"door": "${DOOR}", "token": "${TOKEN}", "request": "${REQUEST}"}
    assert {file["mode"] for path, file in seed.items() if "${TOKEN}" in file.get("content", "")} == {"0600"}
    assert seed["/usr/local/sbin/rackwright-first-boot"]["mode"] == "0755"
    unit = "/etc/systemd/system/rackwright-first-boot.service"
    assert seed["/etc/systemd/system/multi-user.target.wants/rackwright-first-boot.service"]["link"] == unit
    assert unit in seed


def test_no_text_of_ours_holds_a_place_that_nobody_fills() -> None:
    # Only these three are filled; the program's own variables must not look like them.
    assert not PLACES & set(re.findall(r"\$\{\w+\}", text("templates/first-boot.sh")))
    made = {**answers.preseed(with_layout("lvm"), text), **answers.autoinstall(with_layout("lvm"), text)}
    for name in ("preseed.cfg", "user-data", "meta-data"):
        assert set(re.findall(r"\$\{[A-Z]+\}", made[name])) <= PLACES


# ---- Debian


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_answers_for_debians_installer_are_as_they_are_kept(name: str) -> None:
    made = answers.preseed(with_layout(name, uefi=name == "lvm"), text)
    same_as_kept(f"preseed-{name}.cfg", made["preseed.cfg"])
    assert set(made) == {"preseed.cfg", "disks.sh", "place.sh"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_answer_for_debians_installer_is_one_line_of_owner_question_type_and_value(name: str) -> None:
    lines = answers.preseed(with_layout(name), text)["preseed.cfg"].splitlines()
    said = [line for line in lines if line and not line.startswith("#")]
    types = {"string", "boolean", "select", "multiselect", "password", "note"}
    for line in said:
        owner, question, kind = f"{line} ".split(" ")[:3]
        assert owner in ("d-i", "tasksel", "popularity-contest"), line
        assert "/" in question, line
        assert kind in types, line
    questions = [line.split(" ")[1] for line in said]
    assert len(questions) == len(set(questions))


def test_the_disks_of_debians_installer_are_named_by_the_script_that_finds_them_and_nowhere_else() -> None:
    made = answers.preseed(with_layout("raid1"), text)
    assert "partman-auto/disk" not in made["preseed.cfg"]
    assert f"disk2=$(find_disk SSD2 '' {100 * GIB}) || exit 1" in made["disks.sh"]
    assert 'debconf-set partman-auto/disk "$disk1 $disk2"' in made["disks.sh"]


def test_debians_installer_gets_the_packages_that_the_network_needs() -> None:
    said = answers.preseed(with_layout("flat", packages=["htop"]), text)["preseed.cfg"]
    assert "pkgsel/include string openssh-server ifenslave vlan bridge-utils htop\n" in said


def test_a_network_that_nobody_wished_for_is_left_as_the_installer_made_it() -> None:
    assert "/etc/network/interfaces" not in answers.preseed(wish(), text)["place.sh"]
    assert "/etc/network/interfaces" in answers.preseed(wish(BONDED), text)["place.sh"]
    assert "network" not in parsed_cloud_config(answers.autoinstall(wish(), text)["user-data"])["autoinstall"]


@pytest.mark.parametrize("mirror", ["", "ftp://mirror.example", "mirror.example"])
def test_a_mirror_that_is_no_url_is_refused(mirror: str) -> None:
    with pytest.raises(told.Refused, match=r"set the attribute os\.mirror"):
        answers.preseed(wish(mirror=mirror), text)


# ---- Ubuntu


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_the_answers_for_ubuntus_installer_fit_its_schema(name: str, uefi: bool) -> None:
    schema = json.loads((Path(__file__).parent / "autoinstall_schema.json").read_text(encoding="utf-8"))
    made = answers.autoinstall(with_layout(name, uefi=uefi, proxy="http://proxy.example:3128"), text)
    config = parsed_cloud_config(made["user-data"])
    assert set(config) == {"autoinstall"}
    faults = sorted(Draft202012Validator(schema).iter_errors(config["autoinstall"]), key=str)
    assert [fault.message for fault in faults] == []


def test_the_answers_for_ubuntus_installer_are_as_they_are_kept() -> None:
    same_as_kept("autoinstall.yaml", answers.autoinstall(with_layout("lvm", uefi=True), text)["user-data"])


def test_ubuntus_installer_finds_the_disks_before_it_writes_and_tells_the_rack_at_its_end() -> None:
    config = parsed_cloud_config(answers.autoinstall(wish(), text)["user-data"])["autoinstall"]
    assert config["early-commands"][-1] == ["bash", "/run/disks.sh"]
    assert config["late-commands"][-1][-2:] == ["/usr/local/sbin/rackwright-first-boot", "installed"]


def test_ubuntus_installer_takes_user_data_only_as_cloud_config() -> None:
    given = wish(user_data="#cloud-config\nruncmd: [ls]\n")
    config = parsed_cloud_config(answers.autoinstall(given, text)["user-data"])["autoinstall"]
    assert config["user-data"]["runcmd"] == ["ls"]
    for wrong in ("#!/bin/sh\nls\n", "#cloud-config\n- a list\n"):
        with pytest.raises(told.Refused, match="cloud-config"):
            answers.autoinstall(wish(user_data=wrong), text)


# ---- kickstart


def kickstart_parser(version: str) -> Any:
    pykickstart = importlib.import_module("pykickstart.parser")
    handler = importlib.import_module("pykickstart.version").makeVersion(version)
    return pykickstart.KickstartParser(handler, missingIncludeIsFatal=False)


# The parser warns of every vlan, made by a second command about its link, and of the boot partition of a second disk.
@pytest.mark.filterwarnings("ignore:A network device with the name bond0")
@pytest.mark.filterwarnings("ignore:A partition with the mountpoint biosboot")
@pytest.mark.parametrize("version", ["RHEL8", "RHEL9"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_answers_for_anaconda_are_taken_by_its_own_parser(name: str, version: str) -> None:
    said = answers.kickstart(with_layout(name, uefi=name == "lvm"), text)["kickstart"]
    storage_lines = re.search(r"<<'RACKWRIGHT'\n(.*?)RACKWRIGHT\n", said, re.DOTALL)
    assert storage_lines is not None
    whole = said.replace("%include /tmp/disks.ks\n", storage_lines.group(1).replace("DISK", "sd"))
    parser = kickstart_parser(version)
    parser.readKickstartFromString(whole)
    handler = parser.handler
    assert [script.type for script in handler.scripts] == [0, 1], "one %pre and one %post"
    assert all(script.errorOnFail for script in handler.scripts)
    mounts = {one.mountpoint for kind in ("partition", "raid", "logvol") for one in _made(handler, kind)}
    assert "/" in mounts
    assert [one.device for one in handler.network.network][1:] == ["bond0", "bond0", "br0"]


def _made(handler: Any, kind: str) -> list[Any]:
    lists = {"partition": "partitions", "raid": "raidList", "logvol": "lvList"}
    return list(getattr(getattr(handler, kind), lists[kind]))


def test_the_answers_for_anaconda_are_as_they_are_kept() -> None:
    same_as_kept("kickstart-lvm.cfg", answers.kickstart(with_layout("lvm"), text)["kickstart"])
