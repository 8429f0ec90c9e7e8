/** The quick reader of routes gives what the table gives, or nothing. */
import fc from 'fast-check'
import { test } from 'tap'
import { Malformed } from '../dist/netlink/attribute.js'
import { sourceOf } from '../dist/netlink/bytes.js'
import type { Message } from '../dist/netlink/message.js'
import { type Route, readRoute, routeMessage } from '../dist/rtnetlink/route.js'
import { routeAttributes } from '../dist/rtnetlink/route-attributes.js'
import { readCommonRoute, readRouteMessage } from '../dist/rtnetlink/route-reader.js'
import { dump } from '../dist/rtnetlink/talk.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const number = (key: string) => routeAttributes.attributes.find((attribute) => attribute.key === key)?.number ?? -1
const common = ['destination', 'outputLink', 'gateway', 'priority', 'preferredSource', 'table']
const inet6 = ['cacheInfo', 'preference']

function messageOf(payload: Uint8Array): Message {
  // At an offset that is not the memory's start, and with something behind.
  const bytes = Buffer.concat([Buffer.alloc(16), payload, Buffer.alloc(20, 0xff)])
  return { source: sourceOf(bytes), type: 24, flags: 2, sequence: 1, start: 16, end: 16 + payload.length }
}

function attribute(type: number, value: Uint8Array, length = value.length + 4): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(length, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, value, Buffer.alloc(-value.length & 3)])
}

/** What the table makes of it; undefined when it is malformed. */
function byTable(message: Message): Route | undefined {
  try {
    return readRoute(routeMessage.decode(message))
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const byte = fc.integer({ min: 0, max: 255 })

/** A header that a route may have, or any. */
const header = fc.oneof(
  fc
    .record({
      family: fc.constantFrom(2, 10),
      length: fc.integer({ min: 0, max: 32 }),
      table: fc.constantFrom(0, 252, 253, 254, 255, 7),
      protocol: fc.constantFrom(0, 2, 3, 4, 16, 77),
      scope: fc.constantFrom(0, 253, 254, 9),
      type: fc.constantFrom(1, 2, 3, 6, 99),
      flags: fc.constantFrom(0, 0, 0, 1, 4, 17, 0x200, 0x4000),
      tos: fc.constantFrom(0, 0, 0, 8),
      source: fc.constantFrom(0, 0, 0, 24),
    })
    .map(({ family, length, table, protocol, scope, type, flags, tos, source }) => {
      const made = Buffer.from([family, length, source, tos, table, protocol, scope, type, 0, 0, 0, 0])
      made.writeUInt32LE(flags, 8)
      return made as Uint8Array
    }),
  bytes(12),
)

const known = fc
  .record({
    key: fc.constantFrom(...common, ...inet6),
    size: fc.constantFrom(4, 4, 16, 32, 1, 0, 3, 8),
    fill: bytes(40),
  })
  .map(({ key, size, fill }) => {
    // Mostly the size that it has.
    const right = key === 'cacheInfo' ? 32 : key === 'preference' ? 1 : size
    return attribute(number(key), fill.subarray(0, (fill[39] ?? 0) % 4 === 0 ? size : right))
  })
const small = fc
  .record({ key: fc.constantFrom('table', 'outputLink', 'priority', 'preference'), value: byte })
  .map(({ key, value }) => attribute(number(key), Buffer.from([value, 0, 0, 0])))
const any = fc
  .record({ type: fc.integer({ min: 0, max: 0xffff }), value: fc.uint8Array({ maxLength: 24 }), lie: byte })
  .map(({ type, value, lie }) => attribute(type % 3 === 0 ? type : type % 32, value, lie < 20 ? lie : undefined))

const attributes = fc.array(fc.oneof({ weight: 6, arbitrary: known }, { weight: 4, arbitrary: small }, any), {
  maxLength: 8,
})

test('both readers say the same', async (t) => {
  let quick = 0
  let total = 0
  fc.assert(
    fc.property(header, attributes, byte, (start, rest, cut) => {
      const whole = Buffer.concat([start, ...rest])
      const message = messageOf(cut < 30 ? whole.subarray(0, cut) : whole)
      const expected = byTable(message)
      const read = readCommonRoute(message)
      total++
      if (read !== undefined) {
        quick++
        t.same(read, expected)
        // An order of their own would be seen in what JSON makes of them.
        t.same(Object.keys(read), Object.keys(expected ?? {}))
      }
      if (expected !== undefined) t.same(readRouteMessage(message), expected)
      else t.throws(() => readRouteMessage(message))
    }),
    { numRuns: 20_000 },
  )
  t.ok(quick > total / 20, `${quick} of ${total} are read the quick way`)
})

test(
  'routes of the kernel: the usual ones are read the quick way, all of them right',
  await needs('namespaces', 'ip'),
  async (t) => {
    const namespace = await scratch(t)
    const lines = [
      'link add name left type veth peer name right',
      'link set left up',
      'link set right up',
      'address add 10.1.0.1/24 dev left',
      'address add fd00:1::1/64 dev left nodad',
      'route add default via 10.1.0.2',
      'route add 10.2.0.0/16 via 10.1.0.2 metric 7 src 10.1.0.1',
      'route add 10.3.0.0/16 dev left table 1234 proto 77',
      'route add 10.4.0.0/16 dev left mtu 1400',
      'route add blackhole 10.5.0.0/16',
      'route add 10.6.0.0/16 nexthop via 10.1.0.2 nexthop via 10.1.0.3',
      'route add 10.7.0.0/16 via 10.9.9.9 dev left onlink',
      'route add 10.8.0.0/16 dev left tos 0x10',
      '-6 route add default via fd00:1::2',
      '-6 route add fd00:2::/64 dev left metric 5 expires 300',
      '-6 route add fd00:3::/64 dev left pref high',
      '-6 route add unreachable fd00:4::/64',
    ]
    for (const line of lines) await ipDo(namespace, ...line.split(' '))
    const question = {
      definition: routeMessage,
      request: 'RTM_GETROUTE' as const,
      header: {},
      attributes: {},
      what: 'list the routes',
    }
    let quick = 0
    const rows = await dump(namespace, question, (message) => {
      if (message.source.bytes[message.start] !== 2 && message.source.bytes[message.start] !== 10) return undefined
      const read = readCommonRoute(message)
      if (read !== undefined) quick++
      t.same(readRouteMessage(message), byTable(message))
      return read ?? true
    })
    t.ok(rows.length > 20 && quick > 15, `${quick} of ${rows.length} the quick way`)
  },
)
