/**
 * What a file says about a kind of queueing discipline, class, filter or action: what the kernel takes, and how a caller says it.
 * A kind that no file is about is read and made through raw attributes.
 */
import { type AttributeType, type Context, Malformed } from '../../netlink/attribute.js'
import { copyOf, sourceOf, Writer } from '../../netlink/bytes.js'
import { type AnyTable, unknownTable } from '../../netlink/table.js'
import { kindHint } from '../../suggestions.js'
import { checkOptions, typeError, valueError } from '../../validate.js'

/** What is known of an object beside its own options. */
export interface About {
  /** A filter's protocol, as an Ethernet type. */
  protocol?: number
}

export interface TrafficKind<W, O> {
  /** The kind as the kernel calls it: 'tbf'. */
  readonly kind: string
  /** The payload of its options attribute. */
  readonly wire: AttributeType<W>
  /** The names of the options. */
  readonly keys: readonly string[]
  /** Checks a caller's options; errors name them by `name` and the option. */
  toWire(options: O, name: string, about?: About): W
  /** The options as the kernel says they are, and what can only be read. `handle` is the object's own. */
  fromWire(wire: W, handle: number): object
  /** Options that the kernel keeps in coarser steps: how far what is read may be from what was asked, beside 0.2 %. */
  readonly rounded?: Readonly<Record<string, number>>
  /** Options that the kernel chooses when they are not given, and tells of. */
  readonly chosen?: readonly string[]
  /** Options that are read back as others. */
  readonly derived?: Readonly<Record<string, readonly string[]>>
}

// biome-ignore lint/suspicious/noExplicitAny: a kind's options have any type; the collections' types give each its own back
export type AnyKind = TrafficKind<any, any>

/** The kinds of one sort of object. */
export class KindRegistry {
  /** What they are kinds of: 'qdisc'. */
  readonly sort: string
  readonly #kinds = new Map<string, AnyKind>()

  constructor(sort: string) {
    this.sort = sort
  }

  define<W, O>(kind: TrafficKind<W, O>): void {
    this.#kinds.set(kind.kind, kind)
  }

  of(kind: unknown): AnyKind | undefined {
    return typeof kind === 'string' ? this.#kinds.get(kind) : undefined
  }

  get names(): string[] {
    return [...this.#kinds.keys()]
  }

  /** The payload of the attribute beside which the kind stands. */
  get wire(): AttributeType<unknown> {
    const typeOf = ({ siblings }: Context) => this.of(siblings.kind)?.wire ?? rawAttributes
    return {
      decode: (source, offset, length, context) => typeOf(context).decode(source, offset, length, context),
      encode: (writer, value, name, context) => typeOf(context).encode(writer, value, name, context),
      nested: (context) => typeOf(context).nested?.(context),
    }
  }
}

export const qdiscKinds = new KindRegistry('qdisc')
export const classKinds = new KindRegistry('class')
export const filterKinds = new KindRegistry('filter')
export const actionKinds = new KindRegistry('action')

/** Attributes without a table, by number; a payload that is not made of attributes is kept as it is. */
const rawAttributes: AttributeType<unknown> = {
  decode(source, offset, length, { header }) {
    try {
      return unknownTable.decode(source, offset, offset + length, header)
    } catch (error) {
      if (error instanceof Malformed) return copyOf(source.bytes, offset, offset + length)
      throw error
    }
  },
  encode(writer, value, name, { header }) {
    if (value instanceof Uint8Array) writer.append(value)
    else if (typeof value === 'object' && value !== null) unknownTable.encode(writer, value as never, header)
    else throw typeError(name, 'an object of attributes or a Uint8Array', value)
  },
}

/** The payload of a kind that no file is about. */
export type RawOptions = Record<`#${number}`, Uint8Array> | Uint8Array

/** The options of a raw kind: `data`, by number. */
export const rawKind: TrafficKind<unknown, { data?: RawOptions }> = {
  kind: '',
  wire: rawAttributes,
  keys: ['data'],
  toWire: ({ data }) => data,
  fromWire: (wire) => ({ data: wire }),
}

/** A kind whose options are its attributes, by the table's names. */
export function plainKind<O>(kind: string, wire: AttributeType<O>, table: AnyTable, readOnly: readonly string[] = []) {
  const keys = table.attributes.map(({ key }) => key).filter((key) => !readOnly.includes(key))
  return {
    kind,
    wire,
    keys,
    toWire(options: O, name: string) {
      // The encoder would name the attribute; a caller wants to read of the option.
      table.encode(new Writer(256), options as never, {}, name)
      return options
    },
    fromWire: (value: O) => value as object,
  } satisfies TrafficKind<O, O>
}

const nothing: Context = { header: {}, siblings: {} }

/** Splits what a caller passed into what every object has and the options of its kind, and checks the latter. */
export function optionsOfKind(
  registry: KindRegistry,
  given: Readonly<Record<string, unknown>>,
  common: readonly string[],
  name: string,
  about: About = {},
): { kind: AnyKind; own: Record<string, unknown>; wire: unknown } {
  const kind = registry.of(given.kind) ?? rawKind
  const foreign = Object.keys(given).find((key) => !common.includes(key) && !rawKind.keys.includes(key))
  if (kind === rawKind && typeof given.kind === 'string' && foreign !== undefined) {
    const own = `netkit has no table of the options of kind '${given.kind}', which go into 'data' by their numbers`
    const hint = kindHint(given.kind, registry.names)
    throw valueError(name, foreign, `is not an option of every ${registry.sort}, and ${own}${hint}`)
  }
  checkOptions(given, name, [...common, ...kind.keys])
  const own = Object.fromEntries(Object.entries(given).filter(([key]) => !common.includes(key)))
  return { kind, own, wire: kind.toWire(own, name, about) }
}

/** Options as they would be read back. */
export function readBack(kind: AnyKind, wire: unknown, handle: number): Record<string, unknown> {
  if (wire === undefined) return {}
  const writer = new Writer()
  kind.wire.encode(writer, wire, '', nothing)
  const bytes = writer.take()
  return kind.fromWire(kind.wire.decode(sourceOf(bytes), 0, bytes.length, nothing), handle) as Record<string, unknown>
}

/** Whether an object has the options that were asked for: those that were named, as they would be read back. */
export function hasOptions(
  kind: AnyKind,
  known: Readonly<Record<string, unknown>>,
  asked: Readonly<Record<string, unknown>>,
  named: Readonly<Record<string, unknown>>,
): boolean {
  return Object.keys(named)
    .filter((key) => named[key] !== undefined)
    .flatMap((key) => kind.derived?.[key] ?? [key])
    .every((key) => same(known[key], asked[key], kind.rounded?.[key]))
}

function same(a: unknown, b: unknown, step?: number): boolean {
  if (step !== undefined && typeof a === 'number' && typeof b === 'number')
    return Math.abs(a - b) <= step + Math.abs(b) / 500
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
    if (Array.isArray(a) && Array.isArray(b) && a.length !== b.length) return false
    return Object.keys(b).every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  }
  return a === b
}
