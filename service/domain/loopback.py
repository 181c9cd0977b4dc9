"""Which hosts are this machine itself: the only ones that are spoken to without TLS."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Say whether a host name or an IP address, without brackets, is a loopback one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
