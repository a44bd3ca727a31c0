"""A BMC that speaks IPMI 2.0 over LAN (RMCP+), by pyghmi's server side.

Boot flags: IPMI 2.0 specification, table 28-14, parameter 5. Codes of completion: table 5-2.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from pyghmi.ipmi import bmc as pyghmi_bmc

from rackwright.sim.bmc import Bmc
from rackwright.sim.shape import Device

PORT = 623
REFUSED = 0xCC
"""Completion code: a field of the request is not valid."""
UNKNOWN = 0xC1
"""Completion code: no such command."""
BOOT_FLAGS = 5
"""The parameter of the boot options that names the device."""
VALID, PERSISTENT, EFI = 0x80, 0x40, 0x20
"""Bits of its first byte."""
DEVICES: dict[int, Device | None] = {0: None, 1: "network", 2: "disk"}
"""The device numbers that it takes."""

_listening = threading.Lock()
_listener: list[threading.Thread] = []


class IpmiBmc(pyghmi_bmc.Bmc):
    """One machine's BMC on a UDP address. Its answers come from pyghmi's own thread; what it switches goes on in the
    loop that made ``bmc``."""

    def __init__(self, bmc: Bmc, address: str, port: int = PORT) -> None:
        self._bmc = bmc
        self._flags = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        super().__init__(_Passwords(bmc), port=port, bmcuuid=bmc.machine.shape.uuid, address=address)
        _listen()

    def close(self) -> None:
        """Answer no more. The socket stays open to the process's end: pyghmi's listener cannot let go of one."""
        self._closed = True

    def sessionless_data(self, data: Any, sockaddr: Any) -> None:
        """Packets before a session is there; none is answered while the BMC is gone."""
        if not (self._bmc.faults.gone or self._closed):
            super().sessionless_data(data, sockaddr)

    def handle_raw_request(self, request: Any, session: Any) -> None:
        """A request of a session."""
        if self._bmc.faults.gone or self._closed:
            return
        if self._bmc.faults.slow:
            answer = super().handle_raw_request
            self._loop.call_soon_threadsafe(self._loop.call_later, self._bmc.faults.slow, answer, request, session)
        else:
            super().handle_raw_request(request, session)

    def get_power_state(self) -> str:
        """``on`` or ``off``."""
        return "on" if self._bmc.says_on else "off"

    def power_on(self) -> None:
        """Chassis control: power up."""
        self._switch(self._bmc.machine.on)

    def power_off(self) -> None:
        """Chassis control: power down."""
        self._switch(self._bmc.machine.off)

    def power_cycle(self) -> int:
        """Chassis control: power cycle; an error when the machine is off, as the specification has it."""
        if not self._bmc.machine.is_on:
            return 0xD5
        self._switch(self._bmc.machine.cycle)
        return 0

    def power_reset(self) -> int:
        """Chassis control: hard reset."""
        if not self._bmc.machine.is_on:
            return 0xD5
        self._switch(self._bmc.machine.reset)
        return 0

    def power_shutdown(self) -> None:
        """Chassis control: soft shutdown."""
        self._switch(self._bmc.machine.press)

    def get_system_boot_options(self, request: Any, session: Any) -> None:
        """The boot flags as they were set; all zero once a choice for one start has been used up."""
        if request["data"][0] & 0x7F != BOOT_FLAGS:
            session.send_ipmi_response(code=0x80)
            return
        device, once = self._bmc.machine.next_device
        flags = self._flags if once or self._flags & PERSISTENT else 0
        number = next(number for number, known in DEVICES.items() if known == device) if flags else 0
        session.send_ipmi_response(data=[1, BOOT_FLAGS, flags, number << 2, 0, 0, 0])

    def set_system_boot_options(self, request: Any, session: Any) -> None:
        """Take the boot flags; other parameters (what is in progress, who has seen it) are taken and change nothing."""
        data = request["data"]
        if data[0] & 0x7F != BOOT_FLAGS:
            session.send_ipmi_response()
            return
        number = data[2] >> 2 & 0b1111
        if number not in DEVICES:
            session.send_ipmi_response(code=REFUSED)
            return
        self._flags = data[1] if data[1] & VALID else 0
        once = not self._flags & PERSISTENT
        device = DEVICES[number] if self._flags else None
        self._bmc.switch(self._bmc.machine.boot_from(device, once=once))
        session.send_ipmi_response()

    def cold_reset(self) -> int:
        """Restart the BMC itself: nothing to do."""
        return 0

    def _switch(self, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._bmc.switch(action())


class _Passwords(Mapping[str, str]):
    """The BMC's accounts as pyghmi reads them: it asks for a user's password at each login."""

    def __init__(self, bmc: Bmc) -> None:
        self._bmc = bmc

    def __getitem__(self, user: str) -> str:
        if user != self._bmc.account.user:
            raise KeyError(user)
        return self._bmc.password

    def __iter__(self) -> Any:
        return iter((self._bmc.account.user,))

    def __len__(self) -> int:
        return 1


def _listen() -> None:
    """Start the one thread that serves all of pyghmi's sockets of this process."""
    with _listening:
        if not _listener:
            _listener.append(threading.Thread(target=pyghmi_bmc.Bmc.listen, name="ipmi", daemon=True))
            _listener[0].start()
