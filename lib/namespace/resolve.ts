/** Hosts as people write them (a name, an address, a link-local address with a zone) to socket addresses. */
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { namedError } from '../errors.js'
import { checkString, valueError } from '../validate.js'
import { parseIp } from '../values/ip.js'
import { handleOf } from './internal.js'
import type { Namespace } from './namespace.js'
import { runInside } from './run.js'
import type { SocketAddress } from './sockaddr.js'

/** Checks what can be checked before anything is done. */
export function checkHost(value: unknown, name: string): asserts value is string {
  checkString(value, name)
  if (value === '' || /[\0\s/]/.test(value)) throw valueError(name, value, 'is not a host name or an IP address')
}

/** Of a host that is an IP address; undefined for a name. */
export function familyOfHost(host: string): 4 | 6 | undefined {
  const length = parseIp(splitZone(host)[0])?.length
  return length === undefined ? undefined : length === 4 ? 4 : 6
}

/**
 * The addresses of a host. A name is resolved by the process (getaddrinfo(3)), in the process's own namespace; an address is
 * taken as it is, and its zone (`fe80::1%eth0`, an interface's name or index) is looked up inside.
 */
export async function resolveHost(
  namespace: Namespace,
  host: string,
  port: number,
  family: 0 | 4 | 6 = 0,
): Promise<[SocketAddress, ...SocketAddress[]]> {
  const literal = parseHost(namespace, host, port)
  if (literal !== undefined) return [literal]
  const found = await lookup(host, { all: true, family, verbatim: true })
  const addresses = found.flatMap(({ address }) => {
    const octets = parseIp(address)
    return octets === undefined ? [] : [{ octets, port, scope: 0 }]
  })
  const [first, ...others] = addresses
  if (first === undefined) throw namedError('EADDRNOTAVAIL', 'getaddrinfo', `${host} has no address`)
  return [first, ...others]
}

/** The socket address of an address, or undefined for a name. */
export function parseHost(namespace: Namespace, host: string, port: number): SocketAddress | undefined {
  const [text, zone] = splitZone(host)
  const octets = parseIp(text)
  if (octets === undefined) return undefined
  if (zone === undefined) return { octets, port, scope: 0 }
  if (octets.length === 4) throw valueError('host', host, 'an IPv4 address has no zone')
  if (!/^\d+$/.test(zone)) return { octets, port, scope: indexOfLink(namespace, zone) }
  const scope = Number(zone)
  if (scope < 1 || scope > 0xffff_ffff) throw valueError('host', host, "an interface's index is from 1 to 4294967295")
  return { octets, port, scope }
}

function splitZone(host: string): [string, string?] {
  const percent = host.indexOf('%')
  return percent < 0 ? [host] : [host.slice(0, percent), host.slice(percent + 1)]
}

/** The index of an interface that has an IPv6 address, without which a zone is of no use (proc(5), if_inet6). */
function indexOfLink(namespace: Namespace, name: string): number {
  const { descriptor, label } = handleOf(namespace)
  const table = runInside(descriptor, label, () => readFileSync('/proc/thread-self/net/if_inet6', 'latin1'))
  for (const line of table.split('\n')) {
    const [, index, , , , device] = line.trim().split(/\s+/)
    if (device === name && index !== undefined) return Number.parseInt(index, 16)
  }
  throw namedError('ENODEV', 'connect', `there is no interface ${name} with an IPv6 address in ${label}`)
}
