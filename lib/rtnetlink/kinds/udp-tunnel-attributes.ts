/** What vxlan and geneve have in common: an end of either family, a time to live of three words, UDP source ports. */
import { structure } from '../../netlink/attribute.js'
import type { Loose } from '../../netlink/converted.js'
import { be16, Struct } from '../../netlink/struct.js'
import { checkInteger, checkOptions, typeError, valueError } from '../../validate.js'
import { checkIp } from '../../values/ip.js'
import { given } from './tunnel-attributes.js'

/** A range of ports: both are in it. */
export interface PortRange {
  low: number
  high: number
}

const members = { low: ['low', be16], high: ['high', be16] } as const
export const vxlanPortRange = structure(new Struct('ifla_vxlan_port_range', members))
export const genevePortRange = structure(new Struct('ifla_geneve_port_range', members))

/** Checks a range of ports by its two ends. */
export function checkPortRange(value: unknown, name: string): void {
  if (value === undefined) return
  checkOptions(value, name, ['low', 'high'])
  const { low, high } = value as PortRange
  checkInteger(low, `${name}.low`, 0, 0xffff)
  checkInteger(high, `${name}.high`, 0, 0xffff)
  if (high < low) throw valueError(name, value, 'ends before it begins')
}

/** Which of two attributes an address goes into, by its family: `{ remote6: 'fd00::1' }`. */
export function byFamily(value: unknown, name: string, [four, six]: readonly [string, string]): Loose {
  if (value === undefined) return {}
  return { [checkIp(value, name).length === 4 ? four : six]: value }
}

/** Time to live of a tunnel over UDP: 'auto' is 0. */
export type UdpTtl = 'auto' | 'inherit' | number

/** The attribute of a time to live, which is one of two. */
export function ttlToAttributes(ttl: unknown, name: string): Loose {
  if (ttl === undefined) return {}
  if (ttl === 'inherit') return { ttlInherit: true }
  if (ttl === 'auto') return { ttl: 0 }
  if (typeof ttl !== 'number') throw typeError(name, "a number, 'auto' or 'inherit'", ttl)
  checkInteger(ttl, name, 0, 255)
  return { ttl }
}

export function ttlFromAttributes(ttl: unknown, ttlInherit: unknown): Loose {
  return ttlInherit === true ? { ttl: 'inherit' } : given('ttl', ttl === 0 ? 'auto' : ttl)
}
