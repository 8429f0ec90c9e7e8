/** What scripts/fuzz.mjs feeds: targets, each in a file of this folder that exports `targets`. */
import { deepStrictEqual } from 'node:assert'
import { existsSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Malformed } from '../../dist/netlink/attribute.js'
import { type Source, sourceOf } from '../../dist/netlink/bytes.js'
import { type AnyDefinition, HEADER_SIZE, type Message } from '../../dist/netlink/message.js'
import { allTables } from '../../dist/netlink/table.js'
import { packageFolder } from '../support/program.js'

export interface FuzzTarget {
  readonly name: string
  /** The definition that is decoded, if it is one. */
  readonly definition?: AnyDefinition
  /** What the first inputs are, before any is changed. */
  readonly seeds: readonly Uint8Array[]
  /** Attribute types, for changing and inserting attributes. */
  readonly numbers: readonly number[]
  /** Contents of attributes. */
  readonly words: readonly Uint8Array[]
  /** Throws when something is wrong. */
  run(input: Uint8Array): void | Promise<void>
}

const folder = `${packageFolder}/test/fuzz/corpus`

/** The messages of a file of the corpus, one a line in hexadecimal; what follows a '#' is a comment. */
export function corpus(name: string): Buffer[] {
  const file = `${folder}/${name}.hex`
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'latin1').split('\n')
  return lines.map((line) => Buffer.from(line.replace(/#.*/, '').trim(), 'hex')).filter(({ length }) => length > 0)
}

const numbersOfAll = [...new Set(allTables.flatMap(({ attributes }) => attributes.map(({ number }) => number)))]

/** The attribute types that there are, with the flag of nested ones too. */
export const numbers = [...numbersOfAll, ...numbersOfAll.map((number) => number | 0x8000), 0x3fff]

const kinds = [
  'bridge',
  'veth',
  'vxlan',
  'gre',
  'ip6tnl',
  'sit',
  'vlan',
  'bond',
  'tun',
  'htb',
  'tbf',
  'fq',
  'u32',
  'mirred',
]
export const words: readonly Uint8Array[] = [
  ...kinds.map((kind) => Buffer.from(`${kind}\0`)),
  Buffer.from([10, 0, 0, 1]),
  Buffer.from(`fd00${'00'.repeat(13)}01`, 'hex'),
  Buffer.from('020000000001', 'hex'),
  Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0]),
  Buffer.alloc(0),
]

/** Bytes in the middle of others, which nobody may look at. */
export function surrounded(bytes: Uint8Array, poison: number): { source: Source; start: number; end: number } {
  const memory = new Uint8Array(bytes.length + 64).fill(poison)
  memory.set(bytes, 32)
  return { source: sourceOf(memory), start: 32, end: 32 + bytes.length }
}

/** The value, or why the bytes are Malformed. Whatever else is thrown is a mistake. */
export function outcome<T>(decode: () => T): { value: T } | { malformed: string } {
  try {
    return { value: decode() }
  } catch (error) {
    if (error instanceof Malformed) return { malformed: `${error.path.join('.')} ${error.message}` }
    throw error
  }
}

/** Does the same with the bytes among zeros and among ones: what comes out must not differ, or something beyond them was read. */
export function within<T>(bytes: Uint8Array, decode: (message: Message) => T): { value: T } | { malformed: string } {
  const [zeros, ones] = [0, 0xff].map((poison) =>
    outcome(() => decode({ ...surrounded(bytes, poison), type: 16, flags: 0, sequence: 1 })),
  ) as [{ value: T } | { malformed: string }, unknown]
  // Cheaper than deepStrictEqual, which then says what differs.
  if (!isDeepStrictEqual(ones, zeros)) deepStrictEqual(ones, zeros)
  return zeros
}

/**
 * The target of a definition: a message's payload decodes to the same whatever is around it, or is Malformed; what was decoded can
 * be read by `read`, and encoded again, or is refused with a code; and what was encoded decodes to what encodes to the same.
 */
export function messageTarget<D extends AnyDefinition>(
  name: string,
  definition: D,
  read?: (decoded: ReturnType<D['decode']>, message: Message) => unknown,
): FuzzTarget {
  return {
    name,
    definition,
    seeds: corpus(name),
    numbers,
    words,
    run(input) {
      const result = within(input, (message) => definition.decode(message))
      if (read !== undefined)
        within(input, (message) => read(definition.decode(message) as ReturnType<D['decode']>, message))
      if (!('value' in result)) return
      // What came twice, or in an order that the kernel does not keep, is otherwise once it was encoded; and then never again.
      const once = reencoded(definition, result.value)
      const twice = once === undefined ? undefined : reencoded(definition, once)
      if (twice !== undefined && !isDeepStrictEqual(twice, once)) deepStrictEqual(twice, once)
    },
  }
}

type AnyDecoded = ReturnType<AnyDefinition['decode']>

/** What was decoded, encoded and decoded again; undefined when it cannot be encoded. */
function reencoded(definition: AnyDefinition, { header, attributes }: AnyDecoded): AnyDecoded | undefined {
  let bytes: Uint8Array
  try {
    bytes = definition.encode(16, 0, header, attributes)
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (/^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/.test(String(code))) return undefined
    throw error
  }
  const again = within(bytes.subarray(HEADER_SIZE), (message) => definition.decode(message))
  if ('malformed' in again) throw new Error(`what was encoded is Malformed: ${again.malformed}`)
  return again.value
}
