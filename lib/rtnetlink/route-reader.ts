/**
 * Reading of routes straight from their bytes, for lists of a hundred thousand. It knows the attributes that nearly all routes
 * have and no others; a message with more in it is read by way of the table. A test holds both against each other.
 */
import { LITTLE_ENDIAN } from '../netlink/bytes.js'
import type { Message } from '../netlink/message.js'
import type { AttributesOf } from '../netlink/table.js'
import { AF_INET, AF_INET6, formatIp } from '../values/ip.js'
import { flagNames, nexthopFlags, routeProtocols, routeTables, routeTypes, scopes } from './constants.js'
import { type Route, readRoute, routeMessage } from './route.js'
import { routeAttributes, routeCacheInfo, routerPreferences, rtmsg } from './route-attributes.js'

/** Where a member of a struct is. */
function offsetsOf<K extends string>(struct: { fields: readonly { key: string; offset: number }[] }, ...keys: K[]) {
  return Object.fromEntries(
    keys.map((key) => [key, struct.fields.find((field) => field.key === key)?.offset ?? Number.NaN]),
  ) as Record<K, number>
}

/** The number of an attribute. */
function numberOf(key: keyof AttributesOf<typeof routeAttributes>): number {
  return routeAttributes.attributes.find((attribute) => attribute.key === key)?.number ?? Number.NaN
}

/** The words of a table by number, for numbers of 8 bits; a number without one is itself. */
function wordsOf<N extends string>(table: Readonly<Record<N, number>>): readonly (N | number)[] {
  const words: (N | number)[] = Array.from({ length: 256 }, (_, number) => number)
  for (const name of Object.keys(table) as N[]) words[table[name]] = name
  return words
}

const at = offsetsOf(
  rtmsg,
  ...(['family', 'destinationLength', 'sourceLength', 'tos', 'table', 'protocol', 'scope', 'type', 'flags'] as const),
)
const HEADER = rtmsg.size
const EXPIRES = offsetsOf(routeCacheInfo, 'expires').expires
const CACHE_INFO_SIZE = routeCacheInfo.size

const RTA_DST = numberOf('destination')
const RTA_OIF = numberOf('outputLink')
const RTA_GATEWAY = numberOf('gateway')
const RTA_PRIORITY = numberOf('priority')
const RTA_PREFSRC = numberOf('preferredSource')
const RTA_CACHEINFO = numberOf('cacheInfo')
const RTA_TABLE = numberOf('table')
const RTA_PREF = numberOf('preference')

const tableWords = wordsOf(routeTables)
const typeWords = wordsOf(routeTypes)
const scopeWords = wordsOf(scopes)
const protocolWords = wordsOf(routeProtocols)
const preferenceWords = wordsOf(routerPreferences)

const octets = Array.from({ length: 256 }, (_, octet) => String(octet))
/** The end of an IPv4 prefix, '7/32', by its length and last octet; those of a length are made when it is first seen. */
const ends: (readonly string[] | undefined)[] = []

function endsOf(length: number): readonly string[] {
  const made = octets.map((octet) => `${octet}/${length}`)
  ends[length] = made
  return made
}

// Routes come sorted, and many have the same gateway: what was put together last serves for the next.
let network = -1
let networkText = ''
const addresses = { number: [-1, -1], text: ['', ''] }

function prefixText(bytes: Uint8Array, offset: number, length: number): string {
  const number =
    ((bytes[offset] as number) << 16) | ((bytes[offset + 1] as number) << 8) | (bytes[offset + 2] as number)
  if (number !== network) {
    network = number
    networkText = `${octets[number >> 16]}.${octets[(number >> 8) & 255]}.${octets[number & 255]}.`
  }
  return networkText + (ends[length] ?? endsOf(length))[bytes[offset + 3] as number]
}

/** An IPv4 address that the rows before had too, perhaps; `slot` tells gateways and sources apart. */
function addressText(bytes: Uint8Array, offset: number, slot: 0 | 1): string {
  const number =
    (bytes[offset] as number) * 0x100_0000 +
    (((bytes[offset + 1] as number) << 16) | ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number))
  if (addresses.number[slot] !== number) {
    addresses.number[slot] = number
    addresses.text[slot] = formatIp(bytes, offset, 4)
  }
  return addresses.text[slot] as string
}

/** A message as a Route; undefined when there is more in it than is known here, or when it is malformed. */
export function readCommonRoute({ source, start, end }: Message): Route | undefined {
  const { bytes, view } = source
  if (end - start < HEADER) return undefined
  const family = bytes[start + at.family]
  const isInet = family === AF_INET
  if (!isInet && family !== AF_INET6) return undefined
  const length = isInet ? 4 : 16
  const bits = view.getUint32(start + at.flags, LITTLE_ENDIAN)
  if (bits > 0xff || bytes[start + at.tos] !== 0 || bytes[start + at.sourceLength] !== 0) return undefined
  let to = 'default'
  let table: Route['table'] = tableWords[bytes[start + at.table] as number] as Route['table']
  let via: string | undefined
  let index: number | undefined
  let metric: number | undefined
  let preferredSource: string | undefined
  let preference: Route['preference']
  let expires = 0
  for (let attribute = start + HEADER; attribute < end; ) {
    if (end - attribute < 4) return undefined
    const size = view.getUint16(attribute, LITTLE_ENDIAN)
    const type = view.getUint16(attribute + 2, LITTLE_ENDIAN)
    const payload = attribute + 4
    if (size < 4 || size > end - attribute) return undefined
    if (type === RTA_DST) {
      if (size !== 4 + length) return undefined
      const prefixLength = bytes[start + at.destinationLength] as number
      to = isInet ? prefixText(bytes, payload, prefixLength) : `${formatIp(bytes, payload, 16)}/${prefixLength}`
    } else if (type === RTA_GATEWAY) {
      if (size !== 4 + length) return undefined
      via = isInet ? addressText(bytes, payload, 0) : formatIp(bytes, payload, 16)
    } else if (type === RTA_PREFSRC) {
      if (size !== 4 + length) return undefined
      preferredSource = isInet ? addressText(bytes, payload, 1) : formatIp(bytes, payload, 16)
    } else if (type === RTA_PREF) {
      if (size < 5) return undefined
      preference = preferenceWords[bytes[payload] as number] as Route['preference']
    } else if (type === RTA_CACHEINFO) {
      if (size < 4 + CACHE_INFO_SIZE) return undefined
      expires = view.getInt32(payload + EXPIRES, LITTLE_ENDIAN)
    } else {
      if (size < 8) return undefined
      const value = view.getUint32(payload, LITTLE_ENDIAN)
      if (type === RTA_TABLE) table = value < 256 ? (tableWords[value] as Route['table']) : value
      else if (type === RTA_OIF) index = value
      else if (type === RTA_PRIORITY) metric = value
      else return undefined
    }
    attribute += (size + 3) & ~3
  }
  const familyWord = isInet ? 'inet' : 'inet6'
  const kind = typeWords[bytes[start + at.type] as number] as Route['type']
  const scope = scopeWords[bytes[start + at.scope] as number] as Route['scope']
  const protocol = protocolWords[bytes[start + at.protocol] as number] as Route['protocol']
  const flags: Route['flags'] = bits === 0 ? [] : flagNames(nexthopFlags, bits)
  let route: Route
  // Each a shape of its own: what is added afterwards lies apart from the object, and costs another piece of memory.
  if (index === undefined) {
    route = { family: familyWord, to, table, type: kind, scope, protocol, flags }
    if (via !== undefined) route.via = via
  } else if (via === undefined) {
    route = { family: familyWord, to, table, type: kind, scope, protocol, flags, index }
  } else {
    route = { family: familyWord, to, table, type: kind, scope, protocol, flags, via, index }
  }
  if (metric !== undefined) route.metric = metric
  if (preferredSource !== undefined) route.source = preferredSource
  if (preference !== undefined) route.preference = preference
  // Hundredths of a second (clock_t).
  if (expires > 0) route.expires = expires * 10
  return route
}

/** Any route's message as a Route. Throws Malformed. */
export function readRouteMessage(message: Message): Route {
  return readCommonRoute(message) ?? readRoute(routeMessage.decode(message))
}
