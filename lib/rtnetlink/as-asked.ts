/** Whether a link is as asked: what `links.ensure` compares by. */
import { isDeepStrictEqual } from 'node:util'
import { sourceOf, Writer } from '../netlink/bytes.js'
import { type AnyTable, type AttributesOf, unknownTable } from '../netlink/table.js'
import { normalMac } from '../values/mac.js'
import { kindOf, type PortKind } from './kinds/registry.js'
import type { Link } from './link.js'
import { isDetailAsAsked } from './link-details.js'
import { numberOptions } from './link-options.js'

/** True when a link has what is asked for an option already. Links among the options are told by their indexes. */
export function isAsAsked(link: Link, key: string, value: unknown, master: number | undefined): boolean {
  switch (key) {
    case 'up':
      return link.up === value
    case 'arp':
      return !link.flags.includes('NOARP') === value
    case 'multicast':
      return link.flags.includes('MULTICAST') === value
    case 'allMulticast':
      return link.flags.includes('ALLMULTI') === value
    case 'promiscuous':
      return link.flags.includes('PROMISC') === value
    case 'mac':
      return typeof value === 'string' && link.mac === normalMac(value)
    case 'master':
      return (link.master ?? 0) === master
    case 'port':
      // Of another master it is something else.
      return (master === undefined || link.master === master) && isPortAsAsked(link, value as Record<string, unknown>)
    case 'alias':
      return (link.alias ?? '') === value
    case 'addressGeneration':
      return link.addressGeneration === value
    default:
      return (numberOptions as readonly string[]).includes(key)
        ? (link.attributes as Record<string, unknown>)[key] === value
        : (isDetailAsAsked(link, key, value) ?? isOptionAsAsked(link, key, value))
  }
}

function isOptionAsAsked(link: Link, key: string, value: unknown): boolean {
  const kind = kindOf(link.kind)
  const known: Readonly<Record<string, unknown>> = link.options
  return kind?.isAsAsked?.(key, value, known) ?? readsAs(kind, known, key, value)
}

function isPortAsAsked(link: Link, wanted: Record<string, unknown>): boolean {
  const kind = kindOf(link.attributes.info?.portKind)?.port
  const known: Readonly<Record<string, unknown>> = link.port ?? {}
  const { data, ...named } = wanted
  return Object.entries({ ...named, ...(data as object | undefined) }).every(
    ([key, value]) => value === undefined || readsAs(kind, known, key, value),
  )
}

/** Compares an option as the kernel would say it: there may be several ways to write it. */
function readsAs(
  kind: PortKind | undefined,
  known: Readonly<Record<string, unknown>>,
  key: string,
  value: unknown,
): boolean {
  // What is none is not told of, or is 0.
  if (kind?.links?.includes(key)) return (known[key] ?? 0) === value
  const table = kind?.options ?? unknownTable
  const writer = new Writer(64)
  table.encode(writer, { [key]: value } as AttributesOf<AnyTable>)
  const bytes = writer.take()
  const wanted = table.decode(sourceOf(bytes), 0, bytes.length)
  // An attribute may say more than the option that was asked for.
  if (key in wanted) return agrees(known[key], wanted[key as keyof typeof wanted])
  return Object.entries(wanted).every(([name, wish]) => agrees(known[name], wish))
}

/** Equal; of an object, what is asked for. */
function agrees(known: unknown, wish: unknown): boolean {
  if (typeof wish !== 'object' || wish === null || wish instanceof Uint8Array) return isDeepStrictEqual(known, wish)
  if (Array.isArray(wish)) return isDeepStrictEqual(known, wish)
  if (typeof known !== 'object' || known === null) return false
  return Object.entries(wish).every(([key, value]) => agrees((known as Record<string, unknown>)[key], value))
}
