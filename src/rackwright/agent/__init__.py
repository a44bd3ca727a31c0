"""What runs on a machine: it tells the rack what the machine is and carries out what the rack hands it.

It is shipped alone: in a ramdisk with a trimmed Python, and as one archive to installed systems. So it uses the
standard library only and nothing else of the product; the messages are those of ``core.machine_messages``, as plain
JSON. The agent speaks to its rack's door only, and it always asks.

Actions, their parameters, and the facts they give back:

``inventory``
    none. Facts: ``observed.inventory`` goes with the next poll, as whenever it changes.
``burnin``
    ``cpu``, ``memory``, ``disk``, ``network``: seconds each, 0 leaves it out; ``memory_bytes``; ``disk_write`` (true
    destroys what is on the disks) with ``disks``; ``peer``: address of the other machine of a pair; ``network_min``:
    bits per second. Facts: ``tests.cpu``, ``tests.memory``, ``tests.disk``, ``tests.network``.
``write-image``
    ``url`` (whole, or a path of the door), ``compression``, ``sha256``, ``bytes``, ``raw_bytes``, ``raw_sha256``,
    ``disk`` {``serial``, ``path``, ``min_bytes``}, ``grow``, ``root``: number of the root partition, ``seed``:
    [{``path``, ``content``, ``mode``, ``link``, ``encoding``}], ``request``. Facts: ``os.written``.
``verify``
    ``url``, ``sha256``, ``bytes``: the file is read to its end and compared; nothing is written. Facts:
    ``image.verified``.
``erase``
    ``mode``: ``quick``, ``zero`` or ``secure``; ``disks``: serials, never guessed. Facts: ``disks.erased``.
``bmc``
    ``user``, ``password``, ``slot``, ``channel``, ``privilege``. Facts: ``bmc.user``.
``reboot``, ``poweroff``
    ``delay`` seconds after the rack has taken the result. No facts.
``script``
    ``script``: a name in ``files`` or a text of several lines; ``args``, ``env``, ``inputs``. Facts: those that the
    script writes to the file named by ``RACKWRIGHT_OUTPUT``.
"""
