/** The options of a kind of link, and of the ports of a master of that kind: how they are told apart, checked and sent. */
import type { Namespace } from '../namespace/namespace.js'
import { Writer } from '../netlink/bytes.js'
import type { AnyTable, AttributesOf } from '../netlink/table.js'
import { kindHint } from '../suggestions.js'
import { checkOptions, typeError, valueError } from '../validate.js'
import { type Kind, kindNames, kindOf, type PortKind } from './kinds/registry.js'
import { indexOfMaster } from './link-lookup.js'
import { checkLinkReference, type LinkReference } from './link-options.js'

/** Values by the keys of a kind's table. */
export type OwnOptions = Record<string, unknown>

/** The keys that callers may give. */
function writableKeys({ options, readOnly }: PortKind): string[] {
  return options.keys.filter((key) => readOnly?.includes(key) !== true)
}

/** Splits options into those of every link and those of the kind, which are checked to be known and writable. */
export function kindOptions(
  kind: string,
  options: object,
  commonKeys: readonly string[],
  path: string,
  creating = false,
): { common: Record<string, unknown>; own: OwnOptions | undefined } {
  const known = kindOf(kind)
  const ownKeys = known === undefined ? [] : writableKeys(known)
  const unknown = Object.keys(options ?? {}).find((key) => key !== 'data' && !commonKeys.includes(key))
  if (known === undefined && kind !== '' && unknown !== undefined) {
    const own = `netkit has no table of the options of kind '${kind}', which go into 'data' by their numbers${kindHint(kind, kindNames())}`
    throw valueError(path, unknown, `is not an option of every link, and ${own}`)
  }
  checkOptions(options, path, [...commonKeys, ...ownKeys, 'data'])
  const common: Record<string, unknown> = {}
  const own: OwnOptions = {}
  for (const [key, value] of Object.entries(options)) {
    if (key === 'data') Object.assign(own, rawData(value, `${path}.data`))
    else if (ownKeys.includes(key) && (!commonKeys.includes(key) || isUdpPort(key, value))) own[key] = value
    else common[key] = value
  }
  if (Object.values(own).every((value) => value === undefined)) {
    if (creating) checkRequired(known, own, path)
    return { common, own: undefined }
  }
  if (known === undefined) return { common, own }
  const late = creating ? undefined : known.fixed?.find((key) => own[key] !== undefined)
  if (late !== undefined) {
    throw valueError(`${path}.${late}`, own[late], `stays as it is once the ${kind} is made`)
  }
  checkOwn(known, own, path)
  known.check?.(own, path, creating)
  if (creating) checkRequired(known, own, path)
  return { common, own: known.complete?.(own) ?? own }
}

function checkRequired(known: Kind | undefined, own: OwnOptions, path: string): void {
  if (known === undefined) return
  const { kind, options, required = {}, requiredUnless } = known
  const isGiven = (key: string) => own[key] !== undefined || own[rawKey(options, key)] !== undefined
  if (requiredUnless !== undefined && isGiven(requiredUnless) && own[requiredUnless] !== false) return
  const unless = requiredUnless === undefined ? '' : `, unless it is ${requiredUnless}`
  for (const [key, expected] of Object.entries(required)) {
    if (!isGiven(key)) throw typeError(`${path}.${key}`, expected, undefined, `a ${kind} needs it${unless}`)
  }
}

/** What a tunnel over UDP calls its port is what every link calls its options as a port: one is a number, the other an object. */
function isUdpPort(key: string, value: unknown): boolean {
  return key === 'port' && typeof value !== 'object'
}

/** Under what an attribute stands in `data`. */
function rawKey(table: AnyTable | undefined, key: string): string {
  return `#${table?.attributes.find((attribute) => attribute.key === key)?.number}`
}

/** Checks options of a port: known and writable for ports of this kind of master. */
export function checkPortOptions(options: object, masterKind: string | undefined, path: string): OwnOptions {
  const known = kindOf(masterKind)?.port
  if (known === undefined && Object.keys(options).some((key) => key !== 'data')) {
    const own = `netkit has no table of the options that a ${masterKind ?? 'link'}'s ports have: they go into 'data' by their numbers`
    throw valueError(path, Object.keys(options).find((key) => key !== 'data') ?? '', own)
  }
  checkOptions(options, path, [...(known === undefined ? [] : writableKeys(known)), 'data'])
  const { data, ...named } = options as { data?: unknown }
  const own: OwnOptions = { ...named, ...(data === undefined ? {} : rawData(data, `${path}.data`)) }
  if (known !== undefined) checkOwn(known, own, path)
  return own
}

/** Writes options once for the sake of the checks, which name them as the caller does. */
function checkOwn(known: PortKind, own: OwnOptions, path: string): void {
  const written = { ...own }
  for (const key of known.links ?? []) {
    const value = own[key]
    if (value === undefined) continue
    if (value !== null && value !== 0) checkLinkReference(value, `${path}.${key}`)
    written[key] = 0
  }
  known.options.encode(new Writer(512), written as AttributesOf<AnyTable>, {}, path)
}

/**
 * The options with indexes in place of links, which are looked up in a namespace. A promise only when one is told by its name
 * (see indexOfLink).
 */
export function withIndexes<T extends OwnOptions | undefined>(
  namespace: Namespace,
  known: Pick<PortKind, 'links'> | undefined,
  own: T,
  path: string,
): T | Promise<T> {
  if (own === undefined || known?.links === undefined) return own
  const resolved: OwnOptions = { ...own }
  const waiting: Promise<void>[] = []
  for (const key of known.links) {
    const link = own[key] === 0 ? null : (own[key] as LinkReference | null | undefined)
    const index = indexOfMaster(namespace, link, `${path}.${key}`)
    if (index instanceof Promise) {
      const set = (value: number) => {
        resolved[key] = value
      }
      waiting.push(index.then(set))
    } else resolved[key] = index
  }
  return waiting.length === 0 ? (resolved as T) : Promise.all(waiting).then(() => resolved as T)
}

function rawData(value: unknown, name: string): Record<string, Uint8Array> {
  if (typeof value !== 'object' || value === null)
    throw typeError(name, "an object of raw attributes, { '#1': bytes }", value)
  for (const [key, bytes] of Object.entries(value)) {
    if (!/^#\d+$/.test(key))
      throw valueError(name, key, "is not the key of a raw attribute, which is '#' and its number")
    if (!(bytes instanceof Uint8Array)) throw typeError(`${name}['${key}']`, 'a Uint8Array', bytes)
  }
  return value as Record<string, Uint8Array>
}
