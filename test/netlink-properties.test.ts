/** What holds for all messages: encode -> decode is the identity; any bytes at all decode, or fail cleanly. */
import { deepStrictEqual, match, ok } from 'node:assert'
import fc, { type GeneratorValue } from 'fast-check'
import { type Test, test } from 'tap'
import { decodeAcknowledgement } from '../dist/netlink/acknowledgement.js'
import * as types from '../dist/netlink/attribute.js'
import { align4, LITTLE_ENDIAN, type Source, sourceOf, Writer } from '../dist/netlink/bytes.js'
import { type AnyDefinition, allDefinitions, forEachMessage, HEADER_SIZE } from '../dist/netlink/message.js'
import { allStructs } from '../dist/netlink/struct.js'
import { type AnyTable, allTables } from '../dist/netlink/table.js'
import { addressMessage } from '../dist/rtnetlink/address.js'
import { linkAttributes, linkInfoAttributes, linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { routeMessage } from '../dist/rtnetlink/route.js'
import { nexthopAttributes } from '../dist/rtnetlink/route-attributes.js'
import { formatIp, parseIp } from '../dist/values/ip.js'
import * as acknowledgements from './captures/acknowledgements.js'
import * as addresses from './captures/addresses.js'
import * as bridges from './captures/bridge.js'
import * as links from './captures/links.js'
import * as requests from './captures/requests.js'
import * as routes from './captures/routes.js'
// Loads every file that has a table.
import '../dist/index.js'

interface Header {
  readonly [member: string]: unknown
}

/** Octets of a number of bytes. Numbers of 64 bits stay below 2^48: JavaScript's numbers hold them exactly, tenfold too. */
function octets(g: GeneratorValue, length: number): Uint8Array {
  const bytes = Uint8Array.from(g(fc.uint8Array, { minLength: length, maxLength: length }))
  if (length % 8 === 0) for (let i = 6; i < length; i += 8) bytes.fill(0, i, i + 2)
  return bytes
}

/** Where an attribute of a generated message is, and what it and those around it are called. */
interface Place {
  offset: number
  path: string[]
}

/** Contents of attributes of which not all octets of some length are right. */
const contents: Readonly<Record<string, (g: GeneratorValue, writer: Writer) => void>> = {
  IFLA_INFO_KIND: (g, writer) => writer.append(Buffer.from(g(fc.constantFrom, 'bridge\0', 'veth\0', 'other\0'))),
  TCA_U32_SEL(g, writer) {
    const selector = octets(g, 16)
    // No keys follow.
    selector[2] = 0
    writer.append(selector)
  },
  RTA_VIA(g, writer) {
    const [family, size] = g(fc.constantFrom, [2, 4] as const, [10, 16] as const, [17, 6] as const)
    writer.append(Uint8Array.of(family, 0))
    writer.append(octets(g, size))
  },
  RTA_MULTIPATH(g, writer) {
    for (let hops = g(fc.integer, { min: 0, max: 3 }); hops > 0; hops--) {
      const start = writer.length
      writer.append(octets(g, 8))
      appendAttributes(g, writer, nexthopAttributes as unknown as AnyTable, {})
      writer.view.setUint16(start, writer.length - start, LITTLE_ENDIAN)
    }
  },
  SEG6_LOCAL_SRH: appendSegments,
  SEG6_IPTUNNEL_SRH(g, writer) {
    writer.append(octets(g, 4))
    appendSegments(g, writer)
  },
}

/** A segment routing header: its last entry is that of the addresses after it. */
function appendSegments(g: GeneratorValue, writer: Writer): void {
  const count = g(fc.integer, { min: 1, max: 3 })
  writer.append(octets(g, 4))
  writer.append(Uint8Array.of(count - 1))
  writer.append(octets(g, 3 + 16 * count))
}

/** A length that an attribute's type takes. */
function lengthFor(g: GeneratorValue, type: types.AttributeType<unknown>, context: types.Context): number {
  const fits = (length: number) => {
    try {
      type.decode(sourceOf(new Uint8Array(length)), 0, length, context)
      return true
    } catch {
      return false
    }
  }
  return g(fc.constantFrom, ...[0, 1, 2, 4, 6, 8, 16, 200].filter(fits))
}

/** Appends attributes of a table that decode: some of them, in any order. */
function appendAttributes(g: GeneratorValue, writer: Writer, table: AnyTable, header: Header, depth = 0): Place[] {
  const start = writer.length
  const places: Place[] = []
  const chosen = g(fc.shuffledSubarray, [...table.attributes])
  // What a kind's data are made of depends on the kind, which therefore goes first.
  if (table === (linkInfoAttributes as unknown as AnyTable)) chosen.sort((a, b) => a.number - b.number)
  for (const { name, number, type } of chosen) {
    const context = { header, siblings: table.decode(sourceOf(writer.bytes), start, writer.length, header) }
    for (let times = type.repeated ? g(fc.integer, { min: 1, max: 3 }) : 1; times > 0; times--) {
      const offset = writer.reserve(4)
      places.push({ offset, path: [name] })
      const inner = type.nested?.(context)
      const special = contents[name]
      if (special !== undefined) special(g, writer)
      else if (inner !== undefined && inner.table.attributes.length > 0) {
        writer.append(octets(g, inner.skip))
        const within = depth < 4 ? appendAttributes(g, writer, inner.table, header, depth + 1) : []
        for (const place of within) places.push({ ...place, path: [name, ...place.path] })
      } else writer.append(octets(g, lengthFor(g, type, context)))
      writer.view.setUint16(offset, writer.length - offset, LITTLE_ENDIAN)
      writer.view.setUint16(offset + 2, number, LITTLE_ENDIAN)
      writer.align()
    }
  }
  return places
}

/** Fails the test with the smallest counterexample when a property does not hold. */
function holds(t: Test, what: string, property: fc.IRawProperty<unknown>, numRuns = 500): void {
  try {
    fc.assert(property, { numRuns })
    t.pass(what)
  } catch (error) {
    t.fail(what, { found: (error as Error).message })
  }
}

/** False when something is refused with a code. */
function isTaken(fn: () => void): boolean {
  try {
    fn()
    return true
  } catch (error) {
    match(String((error as { code?: unknown }).code), /^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/)
    return false
  }
}

const bytesOf = (writer: Writer) => Buffer.from(writer.bytes.subarray(0, writer.length))

test('decode -> encode -> decode is the identity, for every table', (t) => {
  t.ok(allTables.length >= 15)
  for (const table of allTables) {
    const property = fc.property(fc.gen(), (g) => {
      const [came, first, second] = [new Writer(), new Writer(), new Writer()]
      appendAttributes(g, came, table, {})
      const values = table.decode(sourceOf(came.bytes), 0, came.length)
      // What no kernel says may be refused when it is to be written.
      if (!isTaken(() => table.encode(first, { ...values }))) return
      const again = table.decode(sourceOf(first.bytes), 0, first.length)
      deepStrictEqual(again, values)
      table.encode(second, { ...again })
      deepStrictEqual(bytesOf(second), bytesOf(first))
    })
    holds(t, table.attributes[0]?.name ?? 'the empty table', property, 100)
  }
  t.end()
})

test('decode -> encode gives the same bytes, for every struct', (t) => {
  t.ok(allStructs.length >= 5)
  for (const struct of allStructs) {
    const property = fc.property(fc.gen(), (g) => {
      // What lies between members is not kept.
      const bytes = new Uint8Array(struct.size)
      for (const { offset, type } of struct.fields) {
        bytes.set(octets(g, type.size), offset)
        // Statistics are exact up to 2^53.
        if (type.size === 8) bytes.fill(0, offset + 6, offset + 8)
      }
      const writer = new Writer(1)
      struct.encode(writer, struct.decode(sourceOf(bytes), 0, bytes.length))
      deepStrictEqual(bytesOf(writer), Buffer.from(bytes))
    })
    holds(t, struct.name, property, 100)
  }
  t.end()
})

/** Encodes a value as the only attribute there is, and decodes it. */
function through<T>(type: types.AttributeType<T>, value: T): T {
  const writer = new Writer(1)
  const context = { header: {}, siblings: {} }
  type.encode(writer, value, 'value', context)
  return type.decode(sourceOf(writer.bytes), 0, writer.length, context)
}

test('encode -> decode is the identity, for every type', (t) => {
  const unsigned = (bits: number) => fc.nat({ max: 2 ** bits - 1 })
  const ticks = fc.nat({ max: 0xffff_ffff }).map((value) => value * 10)
  const ip = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => formatIp(parseIp(text) ?? new Uint8Array(4)))
  const name = fc
    .oneof(fc.string({ unit: 'binary' }), fc.constant('\ufeffeth0'))
    .filter((value) => !value.includes('\0'))
  const pair = fc.integer({ min: 0, max: 255 }).map((octet) => octet.toString(16).padStart(2, '0'))
  // biome-ignore lint/suspicious/noExplicitAny: a type and its values, each of another type
  const cases: Record<string, [types.AttributeType<any>, fc.Arbitrary<unknown>]> = {
    attributeU8: [types.attributeU8, unsigned(8)],
    attributeU16: [types.attributeU16, unsigned(16)],
    attributeU32: [types.attributeU32, unsigned(32)],
    attributeS32: [types.attributeS32, fc.integer()],
    attributeU64: [types.attributeU64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
    attributeBe16: [types.attributeBe16, unsigned(16)],
    attributeBe32: [types.attributeBe32, unsigned(32)],
    boolean8: [types.boolean8, fc.boolean()],
    boolean32: [types.boolean32, fc.boolean()],
    clock32: [types.clock32, ticks],
    clock64: [types.clock64, fc.nat({ max: 2 ** 49 }).map((value) => value * 10)],
    words: [
      types.words(types.attributeU8, { one: 1, two: 2 }),
      fc.oneof(fc.constantFrom('one', 'two'), fc.integer({ min: 3, max: 255 })),
    ],
    flag: [types.flag, fc.constant(true)],
    text: [types.text, name],
    bareText: [types.bareText, name],
    binary: [types.binary, fc.uint8Array().map((value) => Buffer.from(value))],
    hardwareAddress: [types.hardwareAddress, fc.array(pair, { maxLength: 32 }).map((pairs) => pairs.join(':'))],
    ip: [types.ip, ip],
  }
  for (const [label, [type, values]] of Object.entries(cases)) {
    holds(
      t,
      label,
      fc.property(values, (value) => deepStrictEqual(through(type, value), value)),
    )
  }
  t.end()
})

test('what an attribute cannot be is refused with a code', (t) => {
  const anything = fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true })
  const { attributeU8, attributeS32, attributeU64, boolean8, clock64, text, binary, ip } = types
  // biome-ignore lint/suspicious/noExplicitAny: each of another type
  const checked: Record<string, types.AttributeType<any>> = {
    attributeU8,
    attributeS32,
    attributeU64,
    boolean8,
    clock64,
    text,
    binary,
    ip,
  }
  for (const [label, type] of Object.entries(checked)) {
    const property = fc.property(anything, (value) => {
      try {
        through(type, value)
      } catch (error) {
        match((error as { code: string }).code, /^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/)
        match((error as Error).message, /^value /)
      }
    })
    holds(t, label, property)
  }
  t.end()
})

const definitions: Readonly<Record<string, AnyDefinition>> = {
  link: linkMessage,
  address: addressMessage,
  route: routeMessage,
}

/** Captures of all kinds. */
const captures: readonly [AnyDefinition, Uint8Array][] = [
  ...Object.values({ ...links, ...bridges }).map((bytes): [AnyDefinition, Uint8Array] => [linkMessage, bytes]),
  ...Object.values(addresses).map((bytes): [AnyDefinition, Uint8Array] => [addressMessage, bytes]),
  ...Object.values(routes).map((bytes): [AnyDefinition, Uint8Array] => [routeMessage, bytes]),
  [linkMessage, requests.addVeth],
  [linkMessage, requests.addBridge],
  [routeMessage, requests.addMultipath],
]

/** Bytes in the middle of others, which nobody may look at. */
function surrounded(bytes: Uint8Array, poison: number): { source: Source; start: number; end: number } {
  const memory = new Uint8Array(bytes.length + 1024).fill(poison)
  memory.set(bytes, 512)
  return { source: sourceOf(memory), start: 512, end: 512 + bytes.length }
}

/** The value, or what was wrong: anything but Malformed is a bug, a RangeError of DataView for instance. */
function outcome<T>(decode: () => T): { value: T } | { malformed: string; path: string[] } {
  try {
    return { value: decode() }
  } catch (error) {
    if (error instanceof types.Malformed) return { malformed: error.message, path: error.path }
    throw error
  }
}

/** Decodes a message among zeros and among ones: the result must be the same. True when it decoded. */
function decodesWithin(definition: AnyDefinition, payload: Uint8Array): boolean {
  const [zeros, ones] = [0, 0xff].map((poison) =>
    outcome(() => definition.decode({ ...surrounded(payload, poison), type: 0, flags: 0, sequence: 0 })),
  )
  deepStrictEqual(ones, zeros)
  return zeros !== undefined && 'value' in zeros
}

test('any bytes at all decode or are Malformed, and nothing beyond them is read', (t) => {
  const seen = { decoded: 0, malformed: 0 }
  for (const [label, definition] of Object.entries(definitions)) {
    const property = fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => {
      decodesWithin(definition, payload) ? seen.decoded++ : seen.malformed++
    })
    holds(t, label, property)
  }
  t.ok(seen.decoded > 0 && seen.malformed > 0, `${seen.decoded} decoded, ${seen.malformed} did not`)
  t.end()
})

const octet = () => fc.oneof(fc.constantFrom(0, 1, 3, 4, 5, 255), fc.nat({ max: 255 }))

/** A message with some octets changed, and maybe cut: many of its lengths lie. */
function spoilt(g: GeneratorValue, bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes)
  for (let times = g(fc.integer, { min: 0, max: 4 }); times > 0; times--) {
    if (copy.length > 0) copy[g(fc.nat, { max: copy.length - 1 })] = g(octet)
  }
  return g(fc.boolean) ? copy : copy.subarray(0, g(fc.nat, { max: copy.length }))
}

test("spoilt messages of the kernel's decode or are Malformed, and nothing beyond them is read", (t) => {
  const seen = { decoded: 0, malformed: 0 }
  const property = fc.property(fc.gen(), (g) => {
    const [definition, bytes] = g(fc.constantFrom, ...captures)
    decodesWithin(definition, spoilt(g, bytes.subarray(HEADER_SIZE))) ? seen.decoded++ : seen.malformed++
  })
  holds(t, 'messages', property, 1000)
  t.ok(seen.decoded > 100 && seen.malformed > 100, `${seen.decoded} decoded, ${seen.malformed} did not`)
  const refusals = fc.property(fc.gen(), (g) => {
    const bytes = g(fc.constantFrom, ...Object.values(acknowledgements))
    const payload = spoilt(g, bytes.subarray(HEADER_SIZE))
    const [type, flags] = [g(fc.constantFrom, 2, 3), g(fc.constantFrom, 0, 0x100, 0x200, 0x300)]
    const [zeros, ones] = [0, 0xff].map((poison) =>
      decodeAcknowledgement({ ...surrounded(payload, poison), type, flags, sequence: 0 }),
    )
    deepStrictEqual(ones, zeros)
  })
  holds(t, 'acknowledgements', refusals, 1000)
  t.end()
})

test('a buffer of messages is walked to its end, or to the first length that lies', (t) => {
  const messages = fc.array(fc.constantFrom(...captures.map(([, bytes]) => bytes)), { maxLength: 4 })
  const aligned = (parts: readonly Uint8Array[]) => {
    const writer = new Writer(1)
    for (const part of parts) {
      writer.append(part)
      writer.align()
    }
    return bytesOf(writer)
  }
  holds(
    t,
    'messages one after another',
    fc.property(messages, (parts) => {
      const { source } = surrounded(aligned(parts), 0xff)
      const bytes = source.bytes.subarray(512)
      const found: Buffer[] = []
      forEachMessage(sourceOf(bytes), bytes.length - 512, ({ start, end }) =>
        found.push(Buffer.from(bytes.subarray(start - HEADER_SIZE, end))),
      )
      deepStrictEqual(
        found,
        parts.map((part) => Buffer.from(part)),
      )
    }),
  )
  holds(
    t,
    'whatever else',
    fc.property(fc.gen(), (g) => {
      const bytes = g(fc.boolean) ? spoilt(g, aligned(g(() => messages))) : octets(g, g(fc.nat, { max: 100 }))
      const results = [0, 0xff].map((poison) => {
        const memory = surrounded(bytes, poison)
        const within = sourceOf(memory.source.bytes.subarray(512))
        let last = 0
        const found: object[] = []
        const result = outcome(() =>
          forEachMessage(within, bytes.length, ({ source: _, ...message }) => {
            ok(message.start >= last + HEADER_SIZE && message.end >= message.start && message.end <= bytes.length)
            last = message.end
            found.push(message)
          }),
        )
        return { found, result }
      })
      deepStrictEqual(results[1], results[0])
    }),
  )
  t.end()
})

test('each attribute of a request is found by its offset', (t) => {
  for (const [label, definition] of Object.entries(definitions)) {
    const property = fc.property(fc.gen(), (g) => {
      const writer = new Writer()
      writer.reserve(HEADER_SIZE)
      writer.append(octets(g, align4(definition.header.size)))
      // A link's family decides what is in IFLA_AF_SPEC.
      writer.bytes[HEADER_SIZE] = 0
      const header = definition.header.decode(sourceOf(writer.bytes), HEADER_SIZE, definition.header.size)
      const places = appendAttributes(g, writer, definition.table, header as Header)
      const request = sourceOf(bytesOf(writer))
      for (const { offset, path } of places) deepStrictEqual(definition.attributeAt(request, offset).path, path)
    })
    holds(t, label, property, 100)
  }
  const anywhere = fc.property(fc.gen(), (g) => {
    const [definition, bytes] = g(fc.constantFrom, ...captures)
    const { path } = definition.attributeAt(sourceOf(spoilt(g, bytes)), g(fc.nat, { max: bytes.length + 8 }))
    ok(path.every((name: string) => typeof name === 'string' && name !== ''))
  })
  holds(t, 'an offset anywhere in a request that is spoilt', anywhere, 1000)
  t.end()
})

test('what is too long for an attribute is refused, and what is long is not', (t) => {
  const encode = (text: string) => linkMessage.encode(16, 0, {}, { name: 'a', queueingDiscipline: text })
  t.equal(encode('x'.repeat(65_530)).length, 32 + 8 + 65_536)
  t.throws(() => encode('x'.repeat(65_531)), { code: 'ERR_INVALID_ARG_VALUE', message: /IFLA_QDISC.*65,531 bytes/ })
  // Nothing of what failed is in the next.
  t.same(Buffer.from(encode('')).toString('hex', 32), '0600030061000000' + '0500060000000000')
  t.throws(() => linkMessage.encode(16, 0, {}, { nmae: 'a' } as never), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /nmae/,
  })
  t.throws(() => linkMessage.encode(16, 0, {}, { '#65536': new Uint8Array() }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.same(
    linkAttributes.attribute(0x8004),
    linkAttributes.attribute(4),
    'the flags of a type are not part of its number',
  )
  t.end()
})

test('decoding takes time in proportion to the length', (t) => {
  for (const definition of allDefinitions) {
    const types = (definition.table as AnyTable).attributes.map(({ number }) => number)
    const message = (attributes: number) => {
      const writer = new Writer(8 * attributes + 64)
      writer.reserve(align4(definition.header.size))
      for (let i = 0; i < attributes; i++) {
        const offset = writer.reserve(8)
        writer.view.setUint16(offset, 8, LITTLE_ENDIAN)
        // Every other is one that the table does not know, or all of them when it knows none of four bytes.
        writer.view.setUint16(offset + 2, i % 2 === 0 ? 0x3f00 : (types[i % types.length] ?? 0x3f00), LITTLE_ENDIAN)
      }
      return { source: sourceOf(writer.bytes), start: 0, end: writer.length, type: 0, flags: 0, sequence: 0 }
    }
    const time = (attributes: number, times: number) => {
      const one = message(attributes)
      let least = Number.POSITIVE_INFINITY
      for (let i = 0; i < times; i++) {
        const begun = performance.now()
        outcome(() => definition.decode(one))
        least = Math.min(least, performance.now() - begun)
      }
      return least
    }
    time(500, 20)
    const [short, long] = [time(500, 20), time(32_000, 5)]
    // 64 times as long; what is not in proportion to the length takes 4,096 times as long.
    t.ok(long < 64 * 12 * Math.max(short, 0.05), `${definition.header.name}: ${short} ms, ${long} ms`)
  }
  t.end()
})
