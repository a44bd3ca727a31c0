"""What a Redfish BMC tells: one function for each resource (DMTF DSP0266 and the schemas of DSP8010).

One BMC has one system ``1``, one chassis ``1`` and one manager ``1``.
"""

from __future__ import annotations

from typing import Any

from rackwright.sim.bmc import Bmc
from rackwright.sim.shape import Device

ROOT = "/redfish/v1"
SYSTEM, CHASSIS, MANAGER = f"{ROOT}/Systems/1", f"{ROOT}/Chassis/1", f"{ROOT}/Managers/1"
SESSIONS = f"{ROOT}/SessionService/Sessions"
RESETS = ("On", "ForceOn", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle")
BOOT_TARGETS: dict[str, Device | None] = {"None": None, "Pxe": "network", "UefiHttp": "network", "Hdd": "disk"}

Json = dict[str, Any]


def link(path: str) -> Json:
    """A reference to another resource."""
    return {"@odata.id": path}


def service_root(bmc: Bmc) -> Json:
    """``/redfish/v1/``: open to everyone."""
    return {
        **_named(ROOT + "/", "#ServiceRoot.v1_9_0.ServiceRoot", "RootService", "Lab BMC"),
        "RedfishVersion": "1.11.0",
        "UUID": str(bmc.machine.shape.uuid),
        "Product": "Lab BMC",
        "Systems": link(f"{ROOT}/Systems"),
        "Chassis": link(f"{ROOT}/Chassis"),
        "Managers": link(f"{ROOT}/Managers"),
        "SessionService": link(f"{ROOT}/SessionService"),
        "UpdateService": link(f"{ROOT}/UpdateService"),
        "Links": {"Sessions": link(SESSIONS)},
    }


def collection(path: str, kind: str, members: list[str]) -> Json:
    """A list of resources of one kind."""
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind}s",
        "Members@odata.count": len(members),
        "Members": [link(member) for member in members],
    }


def system(bmc: Bmc, boot_mode: str) -> Json:
    """The machine itself."""
    shape = bmc.machine.shape
    targets = [target for target in BOOT_TARGETS if target != "UefiHttp" or shape.firmware == "uefi"]
    device, once = bmc.machine.next_device
    return {
        **_named(SYSTEM, "#ComputerSystem.v1_13_0.ComputerSystem", "1", shape.name),
        "SystemType": "Physical",
        "Manufacturer": "Rackwright",
        "Model": "Lab machine",
        "SerialNumber": shape.serial,
        "UUID": str(shape.uuid),
        "BiosVersion": "OVMF" if shape.firmware == "uefi" else "SeaBIOS",
        "PowerState": "On" if bmc.says_on else "Off",
        "Status": {"State": "Enabled", "Health": "OK"},
        "MemorySummary": {"TotalSystemMemoryGiB": shape.memory / 1024},
        "ProcessorSummary": {"Count": 1},
        "Boot": {
            "BootSourceOverrideEnabled": "Once" if once else "Continuous",
            "BootSourceOverrideTarget": "Hdd" if device == "disk" else "Pxe",
            "BootSourceOverrideTarget@Redfish.AllowableValues": targets,
            "BootSourceOverrideMode": boot_mode,
        },
        "Bios": link(f"{SYSTEM}/Bios"),
        "Links": {"Chassis": [link(CHASSIS)], "ManagedBy": [link(MANAGER)]},
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": f"{SYSTEM}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": list(RESETS),
            }
        },
    }


def bios(attributes: Json) -> Json:
    """The BIOS settings that are in force."""
    return {
        **_named(f"{SYSTEM}/Bios", "#Bios.v1_1_0.Bios", "BIOS", "BIOS settings"),
        "Attributes": attributes,
        "@Redfish.Settings": {
            "@odata.type": "#Settings.v1_3_0.Settings",
            "SettingsObject": link(f"{SYSTEM}/Bios/Settings"),
            "SupportedApplyTimes": ["OnReset"],
        },
        "Actions": {"#Bios.ResetBios": {"target": f"{SYSTEM}/Bios/Actions/Bios.ResetBios"}},
    }


def bios_settings(attributes: Json) -> Json:
    """The BIOS settings that will be in force after the next start."""
    named = _named(f"{SYSTEM}/Bios/Settings", "#Bios.v1_1_0.Bios", "Settings", "BIOS settings to come")
    return {**named, "Attributes": attributes}


def chassis(bmc: Bmc) -> Json:
    """The case."""
    return {
        **_named(CHASSIS, "#Chassis.v1_14_0.Chassis", "1", bmc.machine.shape.name),
        "ChassisType": "RackMount",
        "SerialNumber": bmc.machine.shape.serial,
        "PowerState": "On" if bmc.says_on else "Off",
        "Status": {"State": "Enabled", "Health": "OK"},
        "Thermal": link(f"{CHASSIS}/Thermal"),
        "Links": {"ComputerSystems": [link(SYSTEM)], "ManagedBy": [link(MANAGER)]},
    }


def thermal(bmc: Bmc) -> Json:
    """Its temperatures, in degrees Celsius."""
    inlet = {"@odata.id": f"{CHASSIS}/Thermal#/Temperatures/0", "MemberId": "0", "Name": "Inlet"}
    reading = 24 if bmc.says_on else 20
    return {
        **_named(f"{CHASSIS}/Thermal", "#Thermal.v1_7_0.Thermal", "Thermal", "Thermal"),
        "Temperatures": [{**inlet, "ReadingCelsius": reading, "Status": {"State": "Enabled", "Health": "OK"}}],
        "Fans": [],
    }


def manager(bmc: Bmc) -> Json:
    """The BMC itself."""
    return {
        **_named(MANAGER, "#Manager.v1_10_0.Manager", "1", "Lab BMC"),
        "ManagerType": "BMC",
        "FirmwareVersion": "1.0",
        "UUID": str(bmc.machine.shape.uuid),
        "Status": {"State": "Enabled", "Health": "OK"},
        "Links": {"ManagerForServers": [link(SYSTEM)], "ManagerForChassis": [link(CHASSIS)]},
    }


def session_service() -> Json:
    """Where sessions are opened."""
    return {
        **_named(f"{ROOT}/SessionService", "#SessionService.v1_1_8.SessionService", "SessionService", "Sessions"),
        "ServiceEnabled": True,
        "SessionTimeout": 600,
        "Sessions": link(SESSIONS),
    }


def session(number: str, user: str) -> Json:
    """An open session."""
    return {**_named(f"{SESSIONS}/{number}", "#Session.v1_3_0.Session", number, "Session"), "UserName": user}


def update_service() -> Json:
    """Which firmware there is; none can be written."""
    named = _named(f"{ROOT}/UpdateService", "#UpdateService.v1_8_0.UpdateService", "UpdateService", "Firmware")
    update = {"target": f"{ROOT}/UpdateService/Actions/UpdateService.SimpleUpdate"}
    return {
        **named,
        "ServiceEnabled": False,
        "FirmwareInventory": link(f"{ROOT}/UpdateService/FirmwareInventory"),
        "Actions": {"#UpdateService.SimpleUpdate": update},
    }


def firmware(name: str, version: str) -> Json:
    """One piece of firmware."""
    path = f"{ROOT}/UpdateService/FirmwareInventory/{name}"
    named = _named(path, "#SoftwareInventory.v1_4_0.SoftwareInventory", name, name)
    return {**named, "Version": version, "Updateable": False}


def problem(what: str) -> Json:
    """The body of an answer that refuses."""
    more = {"@odata.type": "#Message.v1_1_1.Message", "MessageId": "Base.1.0.GeneralError", "Message": what}
    return {"error": {"code": "Base.1.0.GeneralError", "message": what, "@Message.ExtendedInfo": [more]}}


def _named(path: str, kind: str, number: str, name: str) -> Json:
    return {"@odata.id": path, "@odata.type": kind, "Id": number, "Name": name}
