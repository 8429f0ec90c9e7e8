/** Asking the kernel which route it would take (RTM_GETROUTE). */

import type { Namespace } from '../namespace/namespace.js'
import { headerWords } from '../netlink/header-words.js'
import type { Message } from '../netlink/message.js'
import type { StructOf } from '../netlink/struct.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, valueError } from '../validate.js'
import { checkIp, familyOf, formatIp } from '../values/ip.js'
import { rtnetlinkConstants } from './constants.js'
import { indexIfGiven } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { type Route, readRoute, routeMessage } from './route.js'
import type { routeCacheInfo } from './route-attributes.js'
import type { RouteAsk } from './route-request.js'

const { RTM_F_FIB_MATCH, RTM_F_LOOKUP_TABLE } = rtnetlinkConstants

/** Protocols whose ports the kernel looks at, IPPROTO_… (linux/in.h). */
export const lookupProtocols = headerWords('IPPROTO_', { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 })

/** Which packet is meant, where its destination does not say it all (`ip route get`, ip-route(8)). */
export interface LookupOptions {
  /** The address that it comes from. */
  from?: string
  /** The link that it comes in by: then the route is that of a packet that is forwarded or received, not of one sent here. */
  inputLink?: LinkReference
  /** The link that it must leave by, as for a socket that is bound to one. */
  outputLink?: LinkReference
  /** Its mark (SO_MARK, iptables' MARK), for rules that look at it. */
  mark?: number
  /** The user whose socket sends it, for rules that look at it. Default: this process's own. */
  uid?: number
  /** Its type of service. */
  tos?: number
  /** Its protocol, for rules and multipath routes that look at it; 'icmpv6' is IPv6's. */
  protocol?: keyof typeof lookupProtocols
  sourcePort?: number
  destinationPort?: number
  /** Answer with the route as it stands in its table, where otherwise the answer is about the one address. */
  fibMatch?: boolean
}

const lookupKeys = [
  ...(['from', 'inputLink', 'outputLink', 'mark', 'uid', 'tos', 'protocol', 'sourcePort', 'destinationPort'] as const),
  'fibMatch',
] as const satisfies readonly (keyof LookupOptions)[]

/** What a lookup answers with. */
export interface LookedUpRoute extends Route {
  /** What the kernel knows about the path (struct rta_cacheinfo); times in hundredths of a second. */
  cacheInfo?: StructOf<typeof routeCacheInfo>
  /** The index of the link that the packet comes in by. */
  inputLink?: number
  mark?: number
  uid?: number
}

const U32 = 0xffff_ffff

/** Checks what is asked. A promise only when a link's name must be looked up. */
export function lookupAsk(
  namespace: Namespace,
  address: string,
  options: LookupOptions,
  what: string,
): RouteAsk | Promise<RouteAsk> {
  const octets = checkIp(address, 'address')
  checkOptions(options, 'options', lookupKeys)
  const { mark, uid, tos, protocol, sourcePort, destinationPort, fibMatch } = options
  const family = familyOf(octets)
  const from = options.from === undefined ? undefined : checkIp(options.from, 'options.from')
  if (from !== undefined && familyOf(from) !== family) {
    throw valueError('options.from', options.from, "is not of the address's family")
  }
  if (mark !== undefined) checkInteger(mark, 'options.mark', 0, U32)
  if (uid !== undefined) checkInteger(uid, 'options.uid', 0, U32)
  if (tos !== undefined) checkInteger(tos, 'options.tos', 0, 255)
  if (protocol !== undefined) checkOneOf(protocol, 'options.protocol', Object.keys(lookupProtocols))
  for (const key of ['sourcePort', 'destinationPort'] as const) {
    const port = options[key]
    if (port === undefined) continue
    checkInteger(port, `options.${key}`, 1, 65_535)
    if (protocol === undefined) throw valueError(`options.${key}`, port, 'ports need a `protocol`')
  }
  if (fibMatch !== undefined) checkBoolean(fibMatch, 'options.fibMatch')
  const inputLink = indexIfGiven(namespace, options.inputLink, 'options.inputLink')
  const outputLink = indexIfGiven(namespace, options.outputLink, 'options.outputLink')
  const bits = octets.length * 8
  // IPv6 tells the table anyway, and refuses the flag.
  const flags = (bits === 32 ? RTM_F_LOOKUP_TABLE : 0) | (fibMatch === true ? RTM_F_FIB_MATCH : 0)
  const complete = (input: number | undefined, output: number | undefined): RouteAsk => ({
    definition: routeMessage,
    request: 'RTM_GETROUTE',
    header: { family, destinationLength: bits, sourceLength: from === undefined ? 0 : bits, tos: tos ?? 0, flags },
    attributes: {
      destination: formatIp(octets),
      source: from === undefined ? undefined : formatIp(from),
      inputLink: input,
      outputLink: output,
      mark,
      uid,
      ipProtocol: protocol === undefined ? undefined : lookupProtocols[protocol],
      sourcePort,
      destinationPort,
    },
    what,
  })
  if (typeof inputLink !== 'object' && typeof outputLink !== 'object') return complete(inputLink, outputLink)
  return Promise.all([inputLink, outputLink]).then(([input, output]) => complete(input, output))
}

export function readLookup(message: Message): LookedUpRoute {
  const decoded = routeMessage.decode(message)
  const route: LookedUpRoute = readRoute(decoded)
  const { cacheInfo, inputLink, mark, uid } = decoded.attributes
  if (cacheInfo !== undefined) route.cacheInfo = cacheInfo
  if (inputLink !== undefined) route.inputLink = inputLink
  if (mark !== undefined) route.mark = mark
  if (uid !== undefined) route.uid = uid
  return route
}
