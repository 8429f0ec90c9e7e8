/** Attributes that are read one by one are those that are read all at once. */
import fc from 'fast-check'
import { test } from 'tap'
import { Malformed } from '../dist/netlink/attribute.js'
import { sourceOf } from '../dist/netlink/bytes.js'
import { lazyAttributes } from '../dist/netlink/lazy.js'
import type { AnyTable } from '../dist/netlink/table.js'
import { linkAttributes } from '../dist/rtnetlink/link-attributes.js'
import * as links from './captures/links.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'
import '../dist/index.js'

const table = linkAttributes as unknown as AnyTable
const keys = table.attributes.map(({ key }) => key)

/** Every key's value, or that it is malformed. */
function all(read: () => Record<string, unknown>): unknown[] {
  return keys.map((key) => {
    try {
      return read()[key]
    } catch (error) {
      if (error instanceof Malformed) return error.path.join('.')
      throw error
    }
  })
}

test('captured links', async (t) => {
  for (const [name, bytes] of Object.entries(links)) {
    const source = sourceOf(bytes)
    const expected = table.decode(source, 32, bytes.length, { family: 0 })
    const seen = lazyAttributes(table, source, 32, bytes.length, { family: 0 }) as Record<string, unknown>
    t.same(
      keys.map((key) => seen[key]),
      keys.map((key) => (expected as Record<string, unknown>)[key]),
      name,
    )
    t.equal(seen.info, seen.info, 'what was read is kept')
  }
})

test('attributes of any kind, again and again, cut off', async (t) => {
  const attribute = fc
    .record({
      index: fc.nat(keys.length - 1),
      flags: fc.constantFrom(0, 0x8000),
      value: fc.uint8Array({ maxLength: 40 }),
    })
    .map(({ index, flags, value }) => {
      const header = Buffer.alloc(4)
      header.writeUInt16LE(value.length + 4, 0)
      header.writeUInt16LE((table.attributes[index]?.number ?? 0) | flags, 2)
      return Buffer.concat([header, value, Buffer.alloc(-value.length & 3)])
    })
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 12 }), fc.nat(60), (list, cut) => {
      const whole = Buffer.concat(list)
      const source = sourceOf(cut < 10 ? whole.subarray(0, whole.length - cut) : whole)
      const { length } = source.bytes
      const seen = lazyAttributes(table, source, 0, length, { family: 0 }) as Record<string, unknown>
      const found = all(() => seen)
      let expected: Record<string, unknown>
      try {
        expected = table.decode(source, 0, length, { family: 0 })
      } catch (error) {
        // Then it is malformed for those who look where it is.
        t.ok(error instanceof Malformed)
        t.ok(
          (error as Malformed).path.length === 0 ||
            found.some((value) => value === (error as Malformed).path.join('.')),
        )
        return
      }
      t.same(
        found,
        all(() => expected),
      )
    }),
    { numRuns: 3000 },
  )
})

test('a link, whatever is asked of it first', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const [first, second] = [await namespace.links.get('lo'), await namespace.links.get('lo')]
  t.ok(first.attributes.name)
  t.same(first.toJSON(), second.toJSON())
  t.same(second.stats, second.attributes.statistics)
  await second.set({ mtu: 1280 })
  t.equal(second.mtu, 1280, 'a new snapshot is looked at anew')
})
