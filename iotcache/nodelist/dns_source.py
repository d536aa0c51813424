"""A list of nodes in DNS: all addresses of a name, or its SRV records (RFC 2782)."""

from __future__ import annotations

import ipaddress
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver

from iotcache.config.node_lists import NodeListUrl
from iotcache.nodelist.listing import NodeListError, NodeListing, checked, node_at

AGAIN_MIN_S: Final = 1.0
"""Records that live for no time at all are not asked for without a pause."""
AGAIN_MAX_S: Final = 3_600.0
_PATIENCE_S: Final = 4.0


class DnsSource:
    """Asks the system's servers, or the one that the URL names; answers count while their records live."""

    def __init__(self, place: NodeListUrl, *, patience_s: float = _PATIENCE_S) -> None:
        """Raises `NodeListError` where the system names no server."""
        self._place = place
        self._patience_s = patience_s
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not place.server)
        except dns.resolver.NoResolverConfiguration:
            raise NodeListError("this machine names no DNS server (/etc/resolv.conf)") from None
        if place.server:
            self._resolver.nameservers = [_address(place.server)]
            self._resolver.port = place.server_port

    async def read(self) -> NodeListing:
        """The list, in an order that is the same for all. Raises `NodeListError`."""
        place = self._place
        if place.kind == "dns+srv":
            answer = await self._answer("SRV")
            records = list(answer.rrset or ())
            # Those of the lowest number are to be used; others are spares for them.
            first = min((record.priority for record in records), default=0)
            nodes = [
                node_at(record.target.to_text(omit_final_dot=True), record.port, record.weight)
                for record in records
                if record.priority == first
            ]
            lifetimes = [answer.chaining_result.minimum_ttl]
        else:
            nodes, lifetimes = [], []
            for family in place.families:
                answer = await self._answer(family)
                nodes += [node_at(record.address, place.port) for record in answer.rrset or ()]
                if answer.rrset is not None:
                    lifetimes.append(answer.chaining_result.minimum_ttl)
        nodes.sort(key=lambda node: node.name)
        again_s = min(max(min(lifetimes, default=0), AGAIN_MIN_S), AGAIN_MAX_S)
        return NodeListing(checked(nodes), again_s)

    async def _answer(self, kind: str) -> dns.resolver.Answer:
        try:
            return await self._resolver.resolve(
                self._place.host, kind, lifetime=self._patience_s, raise_on_no_answer=False, search=True
            )
        except dns.resolver.NXDOMAIN:
            raise NodeListError("there is no such name in DNS") from None
        except dns.resolver.LifetimeTimeout:
            raise NodeListError("DNS does not answer") from None
        except dns.resolver.NoNameservers:
            raise NodeListError("DNS refuses, or fails at, the question") from None
        except (dns.exception.DNSException, OSError, UnicodeError):
            raise NodeListError("DNS gives no answer that can be read") from None


def _address(server: str) -> str:
    """The resolver wants addresses, and a name would need one to be looked up with."""
    try:
        return str(ipaddress.ip_address(server))
    except ValueError:
        raise NodeListError("the DNS server to ask must be an IP address") from None
