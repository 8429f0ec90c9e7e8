/** Frames and conditions on them, made of few values, so that the ones often meet the others. */
import type { PacketCondition } from '../../dist/packets/filter/conditions.js'
import type { Random } from './random.js'

const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:01:00:00:01', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01']
const addresses4 = ['10.0.0.1', '10.0.0.2', '10.1.2.3', '192.0.2.77']
const addresses6 = ['fd00::1', 'fd00::2', 'fd00:1::1', '2001:db8::1']
const networks = [
  '10.0.0.0/8',
  '10.0.0.0/31',
  '192.0.2.64/26',
  'fd00::/16',
  'fd00::/127',
  'fd00::/33',
  '0.0.0.0/0',
  '::/0',
]
const portNumbers = [53, 80, 443, 6005]
const vlans = [1, 5, 4094]
const PROTOCOLS = [1, 2, 6, 17, 58, 132]

const octetsOf = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex')

function words16(...words: number[]): Buffer {
  const bytes = Buffer.alloc(2 * words.length)
  words.forEach((word, i) => bytes.writeUInt16BE(word, 2 * i))
  return bytes
}

function address6(text: string): Buffer {
  const [front = '', back = ''] = text.split('::')
  const bytes = Buffer.alloc(16)
  front.split(':').forEach((word, i) => bytes.writeUInt16BE(Number.parseInt(word, 16), 2 * i))
  if (back !== '') bytes.writeUInt16BE(Number.parseInt(back, 16), 14)
  return bytes
}

/** An IP packet: options and fragments among them. */
export function randomPacket({ below, pick, once, bytes }: Random): Buffer {
  const protocol = pick(PROTOCOLS)
  const payload = Buffer.concat([words16(pick(portNumbers), pick(portNumbers)), bytes(below(30))])
  if (once(2)) {
    const header = Buffer.alloc(20)
    const words = once(3) ? below(4) : 0
    header[0] = 0x45 + words
    header.writeUInt16BE(20 + 4 * words + payload.length, 2)
    header.writeUInt16BE(once(3) ? pick([0x2000, 0x4000, 1, 0x2001, 0x1fff]) : 0, 6)
    header[9] = protocol
    header.set(pick(addresses4).split('.').map(Number), 12)
    header.set(pick(addresses4).split('.').map(Number), 16)
    return Buffer.concat([header, bytes(4 * words), payload])
  }
  const header = Buffer.alloc(40)
  header[0] = 0x60
  header.writeUInt16BE(payload.length, 4)
  header[6] = protocol
  header.set(address6(pick(addresses6)), 8)
  header.set(address6(pick(addresses6)), 24)
  return Buffer.concat([header, payload])
}

/** A frame, with up to two VLAN tags. One that is not whole may end anywhere behind its Ethernet header. */
export function randomFrame(random: Random, isWhole: boolean): Buffer {
  const { below, pick, once, bytes } = random
  const tags: Buffer[] = []
  while (tags.length < 2 && once(3)) tags.push(words16(pick([0x8100, 0x88a8, 0x9100]), pick(vlans) | (below(16) << 12)))
  const packet = once(6) ? undefined : randomPacket(random)
  const isIpv4 = packet !== undefined && (packet[0] ?? 0) >> 4 === 4
  const type = packet === undefined ? pick([0x0806, 0x88cc]) : isIpv4 ? 0x0800 : 0x86dd
  const parts = [octetsOf(pick(macs)), octetsOf(pick(macs)), ...tags, words16(type), packet ?? bytes(60)]
  const frame = Buffer.concat(parts)
  return isWhole || !once(3) ? frame : frame.subarray(0, 14 + below(frame.length - 13))
}

export type Rule = readonly [condition: PacketCondition, expression: string]

/** A condition on IP packets, and how tcpdump calls it. */
function ipRule({ pick, once }: Random): Rule {
  const condition: PacketCondition = {}
  const words: string[] = []
  if (once(2)) {
    const protocol = pick(['tcp', 'udp', 'sctp', 'icmp', 'icmpv6', 17, 58] as const)
    condition.protocol = protocol
    // A number as tcpdump has it would follow extension headers.
    const number =
      typeof protocol === 'number' ? protocol : { tcp: 6, udp: 17, sctp: 132, icmp: 1, icmpv6: 58 }[protocol]
    const [four, six] = [`(ip[9] == ${number})`, `(ip6[6] == ${number})`]
    words.push(protocol === 'icmp' ? four : protocol === 'icmpv6' ? six : `(${four} or ${six})`)
  }
  if (once(2)) {
    const [key, direction] = pick([
      ['source', 'src'],
      ['destination', 'dst'],
      ['host', ''],
    ] as const)
    const one = pick([...networks, ...addresses4, ...addresses6])
    // One object cannot say that a packet is of both versions.
    const only = { icmp: '10.0.0.0/8', icmpv6: 'fd00::/16' }[condition.protocol as string]
    const network = only === undefined || only.includes(':') === one.includes(':') ? one : only
    condition[key] = network
    const version = network.includes(':') ? 'ip6' : 'ip'
    // tcpdump has no network of length 0 with a direction.
    words.push(
      network.endsWith('/0') ? version : `${version} ${direction} ${network.includes('/') ? 'net' : 'host'} ${network}`,
    )
  }
  const hasPorts = condition.protocol === undefined || ['tcp', 'udp', 'sctp', 17].includes(condition.protocol)
  if (hasPorts && once(2)) {
    const [key, direction] = pick([
      ['sourcePort', 'src'],
      ['destinationPort', 'dst'],
      ['port', ''],
    ] as const)
    const isRange = once(3)
    condition[key] = isRange ? '80-6004' : pick(portNumbers)
    words.push(`${direction} ${isRange ? 'portrange' : 'port'} ${condition[key]}`)
  }
  if (Object.keys(condition).length === 0) return [{ etherType: 'ip' }, 'ip']
  return [condition, words.join(' and ')]
}

function simpleRule(random: Random): Rule {
  const { below, pick } = random
  const mac = pick(macs)
  const longest = 14 + below(70)
  const value = below(4)
  return pick<() => Rule>([
    () => [{ arp: true }, 'arp'],
    () => [{ protocol: 'arp' }, 'arp'],
    () => [{ arp: false }, 'not arp'],
    () => [{ etherType: 'ipv6' }, 'ip6'],
    () => [{ etherType: 0x88cc }, 'ether proto 0x88cc'],
    () => [{ sourceMac: mac }, `ether src ${mac}`],
    () => [{ destinationMac: mac }, `ether dst ${mac}`],
    () => [{ mac }, `ether host ${mac}`],
    () => [{ broadcast: true }, 'ether broadcast'],
    () => [{ broadcast: false }, 'not ether broadcast'],
    () => [{ multicast: true }, 'ether multicast'],
    () => [{ minimumLength: longest }, `greater ${longest}`],
    () => [{ maximumLength: longest }, `less ${longest}`],
    () => [{ bytes: { offset: 5, value } }, `ether[5] == ${value}`],
    () => [{ bytes: { offset: 4, size: 4, mask: 0x3, value } }, `ether[4:4] & 3 == ${value}`],
  ])()
}

/** A condition, and the expression of tcpdump that means the same on frames that are not cut. */
export function randomRule(random: Random, depth = 0): Rule {
  const { below, pick, once } = random
  const inner = () => randomRule(random, depth + 1)
  const kind = depth > 2 ? below(2) : below(6)
  if (kind === 0) return simpleRule(random)
  if (kind <= 2) return ipRule(random)
  if (kind === 3) {
    const [condition, expression] = inner()
    return [{ not: condition }, `not (${expression})`]
  }
  const list = Array.from({ length: 1 + below(4) }, inner)
  const word = kind === 4 ? 'all' : 'any'
  const expression = list.map((rule) => `(${rule[1]})`).join(word === 'all' ? ' and ' : ' or ')
  if (depth > 0 || !once(3)) return [{ [word]: list.map((rule) => rule[0]) }, expression]
  // What follows is about what is behind the tag: in tcpdump to the expression's end, so only here.
  const vlan = once(3) ? true : pick(vlans)
  return [{ vlan, [word]: list.map((rule) => rule[0]) }, `vlan ${vlan === true ? '' : vlan} and (${expression})`]
}
