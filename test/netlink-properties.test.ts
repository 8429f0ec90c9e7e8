/** What holds for all messages: encode -> decode is the identity; any bytes at all decode, or fail cleanly. */
import { deepStrictEqual } from 'node:assert'
import fc, { type GeneratorValue } from 'fast-check'
import { test } from 'tap'
import { acknowledgementAttributes, decodeAcknowledgement } from '../dist/netlink/acknowledgement.js'
import * as types from '../dist/netlink/attribute.js'
import { align4, type Source, sourceOf, Writer } from '../dist/netlink/bytes.js'
import { type AnyDefinition, forEachMessage, HEADER_SIZE, type Message } from '../dist/netlink/message.js'
import { allStructs } from '../dist/netlink/struct.js'
import { type AnyTable, allTables } from '../dist/netlink/table.js'
import { addressMessage } from '../dist/rtnetlink/address.js'
import { linkAttributes, linkInfoAttributes, linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { routeMessage } from '../dist/rtnetlink/route.js'
import * as acknowledgements from './captures/acknowledgements.js'
import * as addresses from './captures/addresses.js'
import * as bridges from './captures/bridge.js'
import * as links from './captures/links.js'
import * as requests from './captures/requests.js'
import * as routes from './captures/routes.js'
// Loads every file that has a table.
import '../dist/index.js'

const runs = { numRuns: 500 }

interface Header {
  readonly [member: string]: unknown
}

/** Octets of a number of bytes. Numbers of 64 bits stay below 2^48: JavaScript's numbers hold them exactly, tenfold too. */
function octets(g: GeneratorValue, length: number): Uint8Array {
  const bytes = Uint8Array.from(g(fc.uint8Array, { minLength: length, maxLength: length }))
  if (length % 8 === 0) for (let i = 6; i < length; i += 8) bytes.fill(0, i, i + 2)
  return bytes
}

/** Where each attribute of a generated message is, and what it is called. */
type Places = { offset: number; path: string[] }[]

/** Appends attributes of a table that decode: in any order, some of them, each with contents of a length that it takes. */
function appendAttributes(g: GeneratorValue, writer: Writer, table: AnyTable, header: Header, depth = 0): Places {
  const start = writer.length
  const places: Places = []
  const chosen = g(fc.shuffledSubarray, [...table.attributes])
  // What the kind's data are made of depends on the kind, which therefore goes first.
  if (table === (linkInfoAttributes as unknown as AnyTable)) chosen.sort((a, b) => a.number - b.number)
  for (const { name, number, type } of chosen) {
    const siblings = table.decode(sourceOf(writer.bytes), start, writer.length, header)
    const inner = depth < 4 ? type.nested?.({ header, siblings }) : undefined
    const times = type.repeated ? g(fc.integer, { min: 1, max: 3 }) : 1
    for (let i = 0; i < times; i++) {
      const offset = writer.reserve(4)
      places.push({ offset, path: [name] })
      if (name === 'IFLA_INFO_KIND') writer.append(Buffer.from(g(fc.constantFrom, 'bridge\0', 'veth\0', 'other\0')))
      else if (inner !== undefined) {
        writer.append(octets(g, inner.skip))
        for (const place of appendAttributes(g, writer, inner.table, header, depth + 1)) {
          places.push({ ...place, path: [name, ...place.path] })
        }
      } else {
        const fits = (length: number) => {
          try {
            type.decode(sourceOf(new Uint8Array(length)), 0, length, { header, siblings })
            return true
          } catch {
            return false
          }
        }
        const lengths = [0, 1, 2, 4, 6, 8, 16, 200].filter(fits)
        if (lengths.length > 0) writer.append(octets(g, g(fc.constantFrom, ...lengths)))
      }
      writer.view.setUint16(offset, writer.length - offset, true)
      writer.view.setUint16(offset + 2, number, true)
      writer.align()
    }
  }
  return places
}

const definitions: Record<string, AnyDefinition> = { link: linkMessage, address: addressMessage, route: routeMessage }

test('decode -> encode -> decode is the identity, for every table', (t) => {
  t.ok(allTables.length >= 15)
  for (const table of allTables) {
    const property = fc.property(fc.gen(), (g) => {
      const writer = new Writer()
      try {
        appendAttributes(g, writer, table, {})
      } catch (error) {
        // A next hop of zeros is no address: nothing of some lengths decodes.
        if (error instanceof types.Malformed) fc.pre(false)
        throw error
      }
      let values: object
      try {
        values = table.decode(sourceOf(writer.bytes), 0, writer.length)
      } catch (error) {
        if (error instanceof types.Malformed) fc.pre(false)
        throw error
      }
      const again = new Writer()
      table.encode(again, { ...values })
      const second = table.decode(sourceOf(again.bytes), 0, again.length)
      deepStrictEqual(second, values)
      const third = new Writer()
      table.encode(third, { ...second })
      deepStrictEqual(third.take(), again.take())
    })
    t.doesNotThrow(() => fc.assert(property, { numRuns: 100 }), table.attributes[0]?.name ?? 'the empty table')
  }
  t.end()
})
