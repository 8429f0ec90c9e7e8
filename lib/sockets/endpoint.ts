/** IP addresses with a port, as options and as results. */
import type { Namespace } from '../namespace/namespace.js'
import { checkHost, parseHost } from '../namespace/resolve.js'
import { encodeSocketAddress } from '../namespace/sockaddr.js'
import { LITTLE_ENDIAN } from '../netlink/bytes.js'
import { checkInteger, checkOptions, valueError } from '../validate.js'
import { AF_INET, AF_INET6, formatIp } from '../values/ip.js'

/** Where a socket is: an IP address and a port. */
export interface Endpoint {
  /** An IP address: '192.0.2.1', 'fe80::1%eth0'. */
  address: string
  /** 1 to 65535. */
  port: number
}

export function checkEndpoint(value: unknown, name: string): asserts value is Endpoint {
  checkOptions(value, name, ['address', 'port'])
  const { address, port } = value as Partial<Endpoint>
  checkHost(address, `${name}.address`)
  checkInteger(port, `${name}.port`, 1, 65_535)
}

/** The bytes of a struct sockaddr_in or sockaddr_in6 of an address that is no name, and of the socket's family. */
export function encodeEndpoint(namespace: Namespace, value: unknown, name: string, family: 4 | 6): Uint8Array {
  checkEndpoint(value, name)
  const address = parseHost(namespace, value.address, value.port)
  if (address === undefined) throw valueError(`${name}.address`, value.address, 'is not an IP address')
  if ((address.octets.length === 4 ? 4 : 6) !== family) {
    throw valueError(`${name}.address`, value.address, `is no IPv${family} address, as the socket's are`)
  }
  return encodeSocketAddress(address)
}

/** What the kernel says: undefined for anything but an IP address. */
export function decodeEndpoint(bytes: Uint8Array): Endpoint | undefined {
  if (bytes.length < 8) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const family = view.getUint16(0, LITTLE_ENDIAN)
  const port = view.getUint16(2)
  if (family === AF_INET) return { address: formatIp(bytes, 4, 4), port }
  if (family !== AF_INET6 || bytes.length < 28) return undefined
  const scope = view.getUint32(24, LITTLE_ENDIAN)
  return { address: `${formatIp(bytes, 8, 16)}${scope === 0 ? '' : `%${scope}`}`, port }
}

/** '192.0.2.1:4789', '[fd00::1]:4789'. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
