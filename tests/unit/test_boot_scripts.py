from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.images import ImageFile, Manifest
from rackwright.core.served import ServedNode, ServedRack
from rackwright.rack.door.answers import answer_text
from rackwright.rack.door.boot_choice import (
    node_script,
    stranger_script,
    substituted,
    system_of,
    wanted_image,
)
from rackwright.rack.door.scripts import Kernel, argument_words, kernel_script, trouble_script

DOOR = "http://10.77.0.1:8480"
KERNEL, RAMDISK, RESCUE, STORAGE = "a" * 64, "b" * 64, "c" * 64, "d" * 64


def image(**changed: Any) -> Manifest:
    files = (
        ImageFile(name="vmlinuz", part="kernel", bytes=1, sha256=KERNEL),
        ImageFile(name="initrd", part="ramdisk", bytes=1, sha256=RAMDISK),
        ImageFile(name="more", part="rescue", bytes=1, sha256=RESCUE),
        ImageFile(name="md", part="storage", bytes=1, sha256=STORAGE),
    )
    said = {"name": "discovery", "version": "1", "kind": "discovery", "files": files, "arguments": "console=ttyS0"}
    return Manifest(**(said | changed))


def node(**bootenv: Any) -> ServedNode:
    return ServedNode(id=7, name="n7", macs=("52:54:00:00:00:07",), bootenv=Bootenv(**bootenv))


def test_a_machine_that_is_to_be_discovered_gets_kernel_ramdisk_and_its_token() -> None:
    assert node_script(node(kind="discovery", request="q1"), image(), DOOR, "tok") == (
        "#!ipxe\n"
        "echo Rackwright: n7 boots discovery 1 (discovery)\n"
        f"kernel --name kernel {DOOR}/assets/{KERNEL} initrd=ramdisk BOOTIF=01-${{netX/mac:hexhyp}} console=ttyS0 "
        f"rackwright.door={DOOR} rackwright.system=discovery rackwright.token=tok "
        "rackwright.request=q1 || goto failed\n"
        f"initrd --name ramdisk {DOOR}/assets/{RAMDISK} || goto failed\n"
        "boot || goto failed\n"
        ":failed\n"
        "echo Rackwright: that did not work; the rack is asked again in 5 seconds\n"
        "sleep 5\n"
        "imgfree\n"
        f"chain --replace --autofree {DOOR}/boot/tok/ipxe?mac=${{netX/mac}}&serial=${{serial:uristring}}&uuid=${{uuid}}"
        "&firmware=${platform} || goto failed\n"
    )


def test_a_machine_in_rescue_gets_what_discovery_has_and_a_ramdisk_more() -> None:
    lines = node_script(node(kind="rescue", request="q1"), image(), DOOR, "tok").splitlines()
    assert f"initrd --name ramdisk {DOOR}/assets/{RAMDISK} || goto failed" in lines
    assert f"initrd --name rescue {DOOR}/assets/{RESCUE} || goto failed" in lines
    assert " initrd=ramdisk initrd=rescue " in next(line for line in lines if line.startswith("kernel "))


def test_a_machine_whose_image_goes_to_a_mirror_gets_what_makes_mirrors_and_no_other_does() -> None:
    for data, loaded in (({"layout": "raid1"}, True), ({}, False)):
        script = node_script(node(kind="install", method="image", request="q1", data=data), image(), DOOR, "tok")
        assert (f"initrd --name storage {DOOR}/assets/{STORAGE} || goto failed" in script.splitlines()) is loaded
        assert "initrd=rescue" not in script


def test_a_machine_with_a_system_boots_its_disk_by_bios_and_by_uefi() -> None:
    lines = node_script(node(kind="local", request="q1"), None, DOOR, "tok").splitlines()
    assert lines[2:4] == [
        "iseq ${platform} efi && goto firmware ||",
        "sanboot --no-describe --drive 0x80 || goto failed",
    ]
    # Firmware goes on to its next boot entry only when this one ends with a fault.
    assert lines[-2:] == [":firmware", "exit 1"]


def test_a_stranger_gets_the_discovery_system_without_a_token() -> None:
    script = stranger_script("52:54:00:00:00:99", image(), DOOR)
    assert "rackwright.system=discovery || goto failed" in script
    assert "rackwright.token" not in script
    assert f"chain --replace --autofree {DOOR}/boot/ipxe?mac=" in script


@pytest.mark.parametrize(
    ("bootenv", "system", "wanted"),
    [
        ({"kind": "discovery"}, "discovery", "found"),
        ({"kind": "rescue"}, "rescue", "found"),
        ({"kind": "rescue", "image": "grml"}, "rescue", "grml"),
        ({"kind": "memory", "image": "live"}, "memory", "live"),
        ({"kind": "install", "method": "image"}, "discovery", "found"),
        ({"kind": "install", "method": "preseed", "image": "netboot"}, "discovery", "netboot"),
        ({"kind": "local", "image": "anything"}, "discovery", ""),
    ],
)
def test_each_kind_boots_its_image_and_system(bootenv: dict[str, Any], system: str, wanted: str) -> None:
    rack = ServedRack(name="r1", settings={"discovery": "found"})
    assert system_of(Bootenv(**bootenv)) == system
    assert wanted_image(Bootenv(**bootenv), rack) == wanted


def test_without_a_word_of_the_rack_the_image_discovery_is_booted() -> None:
    assert wanted_image(Bootenv(), None) == "discovery"


@pytest.mark.parametrize("bootenv", [{"kind": "memory"}, {"kind": "install", "method": "preseed"}])
def test_an_installer_or_a_system_in_memory_must_be_named(bootenv: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="boot_image"):
        wanted_image(Bootenv(**bootenv), None)


def test_the_places_in_an_installers_arguments_are_filled() -> None:
    given = "auto=true url=${DOOR}/install/${TOKEN}/preseed.cfg done=${REQUEST}"
    said = node(kind="install", method="preseed", image="netboot", request="q9", arguments=given)
    script = node_script(said, image(name="netboot", arguments=""), DOOR, "tok")
    assert f" auto=true url={DOOR}/install/tok/preseed.cfg done=q9 rackwright.door=" in script
    assert "(preseed)" in script


@pytest.mark.parametrize("arguments", ["quiet && shell", "quiet ; shell", "a || b", "x=${net0/mac}"])
def test_arguments_cannot_end_the_command_or_name_variables_of_the_boot_loader(arguments: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be passed on"):
        node_script(node(kind="discovery", arguments=arguments), image(), DOOR, "tok")


@given(st.text())
def test_whatever_is_in_arguments_they_stay_on_one_line(text: str) -> None:
    try:
        words = argument_words(text, "test")
    except InvalidInput:
        return
    script = kernel_script("t", "http://x", Kernel(url="http://k", arguments=words))
    assert len(script.split("\n")) == len(kernel_script("t", "http://x", Kernel(url="http://k")).split("\n"))


@given(st.text())
def test_whatever_went_wrong_it_is_told_on_one_line_and_carried_out_by_nobody(text: str) -> None:
    lines = trouble_script(text, "http://x").split("\n")
    assert lines[1].startswith("echo Rackwright:")
    assert lines[2] == "goto failed"
    assert "${" not in lines[1]
    assert not {"&&", "||", ";"} & set(lines[1].split())


def test_an_image_without_a_kernel_says_so() -> None:
    with pytest.raises(InvalidInput, match="has no kernel"):
        node_script(node(), image(files=()), DOOR, "tok")


def test_an_image_without_a_ramdisk_is_booted_without_one() -> None:
    script = node_script(node(), image(files=image().files[:1]), DOOR, "tok")
    assert "initrd" not in script


def test_only_the_three_places_are_filled() -> None:
    assert substituted("${DOOR} ${TOKEN} ${REQUEST} ${HOME} $DOOR", "d", "t", "r") == "d t r ${HOME} $DOOR"


def test_answers_that_were_rendered_come_first() -> None:
    said = node(kind="install", data={"answers": {"preseed.cfg": "d-i ...", "user-data": "#cloud-config\nx: 1\n"}})
    assert answer_text(said, "preseed.cfg") == "d-i ..."
    assert answer_text(said, "user-data") == "#cloud-config\nx: 1\n"


def test_nocloud_files_are_made_of_what_is_known() -> None:
    said = node(kind="local", request="q1", data={"hostname": "web", "ssh_keys": ["ssh-ed25519 A a", "ssh-rsa B b"]})
    assert answer_text(said, "meta-data") == '{"instance-id":"n7-q1","local-hostname":"web"}\n'
    assert answer_text(said, "user-data").startswith("#cloud-config\n")
    assert '"ssh_authorized_keys":["ssh-ed25519 A a","ssh-rsa B b"]' in answer_text(said, "user-data")
    assert answer_text(said, "vendor-data") == ""
    assert answer_text(said, "authorized_keys") == "ssh-ed25519 A a\nssh-rsa B b\n"


def test_an_answer_that_nobody_gave_is_refused_with_what_there_is() -> None:
    with pytest.raises(NotFound, match="no answer 'kickstart'") as error:
        answer_text(node(data={"answers": {"preseed.cfg": ""}}), "kickstart")
    assert "preseed.cfg" in error.value.mend
