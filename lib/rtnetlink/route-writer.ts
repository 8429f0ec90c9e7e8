/**
 * Writing of routes straight to their bytes, for adding a hundred thousand. It knows what nearly all routes have and nothing
 * else; any other is written by way of the table. A test holds both against each other.
 */
import { LITTLE_ENDIAN, type Writer } from '../netlink/bytes.js'
import { HEADER_SIZE, netlinkConstants } from '../netlink/message.js'
import { AF_INET } from '../values/ip.js'
import { routeProtocols, routeTables, routeTypes, rtnetlinkConstants, scopes } from './constants.js'
import { routeMessage } from './route.js'
import { routeAttributes, rtmsg } from './route-attributes.js'
import { checkRoute, type NewRoute } from './route-options.js'
import { type RouteAsk, routeRequest } from './route-request.js'

const { RT_TABLE_COMPAT, RTM_NEWROUTE } = rtnetlinkConstants
const { NLM_F_REQUEST } = netlinkConstants

function offsetOf(key: string): number {
  return HEADER_SIZE + (rtmsg.fields.find((field) => field.key === key)?.offset ?? Number.NaN)
}

function numberOf(key: string): number {
  return routeAttributes.attributes.find((attribute) => attribute.key === key)?.number ?? Number.NaN
}

const AT_FAMILY = offsetOf('family')
const AT_LENGTH = offsetOf('destinationLength')
const AT_TABLE = offsetOf('table')
const AT_PROTOCOL = offsetOf('protocol')
const AT_SCOPE = offsetOf('scope')
const AT_TYPE = offsetOf('type')
const FIRST = HEADER_SIZE + rtmsg.size

const RTA_DST = numberOf('destination')
const RTA_GATEWAY = numberOf('gateway')
const RTA_OIF = numberOf('outputLink')
const RTA_PRIORITY = numberOf('priority')
const RTA_TABLE = numberOf('table')

const DOT = 46
const SLASH = 47
const ZERO = 48
const U32 = 0xffff_ffff

/** What `parse` found, beside the address. */
let parsedLength = -1

/** An IPv4 address, with a prefix length or (`alone`) without; -1 when the text is not one, or not as it is usually written. */
function parse(text: string, alone: boolean): number {
  let address = 0
  let parts = 0
  let value = 0
  let digits = 0
  let at = 0
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= ZERO && code <= ZERO + 9) {
      if (digits > 0 && value === 0) return -1
      value = value * 10 + code - ZERO
      if (value > 255) return -1
      digits++
    } else if (code === DOT && digits > 0 && parts < 3) {
      address = address * 256 + value
      parts++
      value = digits = 0
    } else if (code === SLASH && !alone) break
    else return -1
  }
  if (parts !== 3 || digits === 0) return -1
  address = address * 256 + value
  parsedLength = 32
  if (at === text.length) return address
  const [tens, ones] = [text.charCodeAt(at + 1) - ZERO, text.charCodeAt(at + 2) - ZERO]
  if (!(tens >= 1 && tens <= 9) || text.length > at + 3) return -1
  parsedLength = tens
  if (text.length === at + 3) {
    if (!(ones >= 0 && ones <= 9)) return -1
    parsedLength = tens * 10 + ones
  }
  if (parsedLength > 32) return -1
  // Bits after the prefix are an error, and the words for it are elsewhere.
  return address % 2 ** (32 - parsedLength) === 0 ? address : -1
}

function wordNumber(table: Readonly<Record<string, number>>, word: unknown): number {
  return typeof word === 'string' && Object.hasOwn(table, word) ? (table[word] as number) : -1
}

/** A request for a usual IPv4 route. */
export class CommonRouteAsk implements RouteAsk {
  readonly definition = routeMessage
  readonly request = 'RTM_NEWROUTE'
  #whole: RouteAsk | undefined

  private constructor(
    readonly route: NewRoute,
    readonly flags: number,
    readonly index: number | undefined,
    readonly destination: number,
    readonly length: number,
    readonly gateway: number,
    readonly table: number,
    readonly protocol: number,
    readonly scope: number,
  ) {}

  /** Undefined when there is more in the route, or something wrong with it. `index` is that of its link. */
  static of(route: NewRoute, flags: number, index: number | undefined): CommonRouteAsk | undefined {
    const { to, via, metric } = route
    let table: number = routeTables.main
    let protocol: number = routeProtocols.static
    let scope = -1
    for (const key in route) {
      const value: unknown = route[key as keyof NewRoute]
      if (value === undefined || key === 'to' || key === 'via' || key === 'link' || key === 'metric') continue
      if (key === 'table') table = typeof value === 'number' ? value : wordNumber(routeTables, value)
      else if (key === 'protocol') protocol = wordNumber(routeProtocols, value)
      else if (key === 'scope') scope = wordNumber(scopes, value)
      else if (!(key === 'type' && value === 'unicast') && !(key === 'family' && value === 'inet')) return undefined
    }
    if (typeof to !== 'string' || (via !== undefined && typeof via !== 'string')) return undefined
    if (metric !== undefined && !(Number.isInteger(metric) && metric >= 0 && metric <= U32)) return undefined
    if (!(Number.isInteger(table) && table >= 0 && table <= U32) || protocol < 0) return undefined
    if (route.scope === undefined) scope = via === undefined ? scopes.link : scopes.global
    else if (scope < 0) return undefined
    if (via === undefined && index === undefined) return undefined
    const gateway = via === undefined ? -1 : parse(via, true)
    if (via !== undefined && gateway < 0) return undefined
    const destination = parse(to, false)
    if (destination < 0) return undefined
    return new CommonRouteAsk(route, flags, index, destination, parsedLength, gateway, table, protocol, scope)
  }

  get what(): string {
    return `cannot add the route to ${this.route.to}`
  }

  get header(): RouteAsk['header'] {
    return this.#request().header
  }

  get attributes(): RouteAsk['attributes'] {
    return this.#request().attributes
  }

  /** By way of the table, for those who look at it. */
  #request(): RouteAsk {
    const route = { ...this.route, link: this.index }
    this.#whole ??= routeRequest('RTM_NEWROUTE', checkRoute(route, 'route'), route, this.what, this.flags)
    return this.#whole
  }

  write(writer: Writer): void {
    const { index, gateway } = this
    const { metric } = this.route
    const attributes = 2 + (gateway >= 0 ? 1 : 0) + (index === undefined ? 0 : 1) + (metric === undefined ? 0 : 1)
    const size = FIRST + 8 * attributes
    const start = writer.reserve(size)
    const { view, bytes } = writer
    view.setUint32(start, size, LITTLE_ENDIAN)
    view.setUint16(start + 4, RTM_NEWROUTE, LITTLE_ENDIAN)
    view.setUint16(start + 6, this.flags | NLM_F_REQUEST, LITTLE_ENDIAN)
    bytes[start + AT_FAMILY] = AF_INET
    bytes[start + AT_LENGTH] = this.length
    bytes[start + AT_TABLE] = this.table < 256 ? this.table : RT_TABLE_COMPAT
    bytes[start + AT_PROTOCOL] = this.protocol
    bytes[start + AT_SCOPE] = this.scope
    bytes[start + AT_TYPE] = routeTypes.unicast
    let at = start + FIRST
    at = put(view, at, RTA_DST, this.destination, false)
    if (gateway >= 0) at = put(view, at, RTA_GATEWAY, gateway, false)
    if (index !== undefined) at = put(view, at, RTA_OIF, index, LITTLE_ENDIAN)
    if (metric !== undefined) at = put(view, at, RTA_PRIORITY, metric, LITTLE_ENDIAN)
    put(view, at, RTA_TABLE, this.table, LITTLE_ENDIAN)
  }
}

/** An attribute of 32 bits. Returns where the next one goes. */
function put(view: DataView, at: number, number: number, value: number, littleEndian: boolean): number {
  view.setUint16(at, 8, LITTLE_ENDIAN)
  view.setUint16(at + 2, number, LITTLE_ENDIAN)
  view.setUint32(at + 4, value, littleEndian)
  return at + 8
}
