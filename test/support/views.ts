/** Every function of the views, by its name, so that tests reach all of them. */
import { macNumber } from '../../dist/packets/views/bytes.js'
import { fillTransportChecksum, isTransportChecksumRight, rangeChecksum } from '../../dist/packets/views/checksum.js'
import { arp, ethernet, vlan } from '../../dist/packets/views/ethernet.js'
import { ipVersion, ipv4, ipv6 } from '../../dist/packets/views/ip.js'
import { icmp, tcp, udp } from '../../dist/packets/views/transport.js'

export const views = { ethernet, vlan, arp, ipv4, ipv6, udp, tcp, icmp }

export type Reader = (buffer: Buffer, offset: number) => unknown
export type Writer = (buffer: Buffer, offset: number, value: never) => void

/** Functions that only look. */
export const readers: [name: string, read: Reader][] = [
  ['macNumber', macNumber],
  ['ipVersion', ipVersion],
  ['rangeChecksum', rangeChecksum],
  ['isTransportChecksumRight', isTransportChecksumRight],
]
/** Setters, with the reader that says what they set. */
export const fields: { name: string; read: Reader; write: Writer }[] = []
/** Functions that change something and take no value. */
export const changers: [name: string, change: Reader][] = [['fillTransportChecksum', fillTransportChecksum]]

for (const [view, members] of Object.entries(views)) {
  const functions = members as unknown as Record<string, unknown>
  for (const [name, member] of Object.entries(functions)) {
    if (typeof member !== 'function') continue
    const field = /^set(.)(.*)$/.exec(name)
    const reader = field === null ? undefined : functions[`${field[1]?.toLowerCase()}${field[2]}`]
    if (typeof reader === 'function')
      fields.push({ name: `${view}.${name}`, read: reader as Reader, write: member as Writer })
    else if (/^(set|fill|swap)/.test(name)) changers.push([`${view}.${name}`, member as Reader])
    else readers.push([`${view}.${name}`, member as Reader])
  }
}
