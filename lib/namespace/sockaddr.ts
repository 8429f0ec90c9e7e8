/** Socket addresses as the kernel takes them: struct sockaddr_in and struct sockaddr_in6 (ip(7), ipv6(7)). */
import { LITTLE_ENDIAN } from '../netlink/bytes.js'
import { AF_INET, familyOf, formatIp, type IpFamily } from '../values/ip.js'

/** An IP address and port of a socket. */
export interface SocketAddress {
  /** 4 or 16 octets. */
  octets: Uint8Array
  port: number
  /** The interface index of a link-local IPv6 address; 0 for none. */
  scope: number
}

/** The bytes of a struct sockaddr_in or sockaddr_in6: family and scope in host order, port in network order. */
export function encodeSocketAddress({ octets, port, scope }: SocketAddress): Uint8Array {
  const family: IpFamily = familyOf(octets)
  const bytes = new Uint8Array(family === AF_INET ? 16 : 28)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, family, LITTLE_ENDIAN)
  view.setUint16(2, port)
  bytes.set(octets, family === AF_INET ? 4 : 8)
  if (family !== AF_INET) view.setUint32(24, scope, LITTLE_ENDIAN)
  return bytes
}

/** '10.0.0.1:80', '[fe80::1%3]:80'. */
export function formatSocketAddress({ octets, port, scope }: SocketAddress): string {
  const text = formatIp(octets)
  return octets.length === 4 ? `${text}:${port}` : `[${text}${scope === 0 ? '' : `%${scope}`}]:${port}`
}
