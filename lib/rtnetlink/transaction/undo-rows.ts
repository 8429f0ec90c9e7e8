/** Undoing of addresses, routes and what else is a row of a list. */
import { hasCode } from '../../errors.js'
import type { Namespace } from '../../namespace/namespace.js'
import { type MessageDefinition, netlinkConstants } from '../../netlink/message.js'
import { addressMessage } from '../address.js'
import { nexthopFlags, type rtnetlinkConstants } from '../constants.js'
import type { AnyAsk } from '../interceptor.js'
import { AF_BRIDGE, neighborFlags, neighborMessage } from '../neighbor.js'
import { nexthopMessage } from '../nexthop.js'
import { routeMessage } from '../route.js'
import { ruleMessage } from '../rule.js'
import { dump } from '../talk.js'
import { type Raw, type RowRule, rowRule, type UndoRule } from './undo.js'

const { NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE } = netlinkConstants

// biome-ignore lint/suspicious/noExplicitAny: any message's definition
type Definition = MessageDefinition<any, any>
type Name = keyof typeof rtnetlinkConstants & AnyAsk['request']

/** All rows that a question is answered with; none when the kernel says that there is no such list. */
export async function rawRows(
  namespace: Namespace,
  definition: Definition,
  request: Name,
  header: object,
  attributes: object = {},
): Promise<Raw[]> {
  const question = { definition, request, header, attributes, what: 'cannot read what is to be restored' } as AnyAsk
  try {
    return await dump(namespace, question, (message) => definition.decode(message) as Raw)
  } catch (error) {
    // A table that was never used, a link that is gone.
    if (hasCode(error, 'ENOENT', 'ENODEV')) return []
    throw error
  }
}

/** A request with a row's own header and attributes. */
function asking(definition: Definition, request: Name, flags: number, { header, attributes }: Raw): AnyAsk {
  const what = request.includes('_DEL') ? 'cannot remove what was added' : 'cannot put back what was there'
  return { definition, request, flags, header, attributes, what } as AnyAsk
}

export const addressRow: RowRule = {
  list: (namespace, ask) => rawRows(namespace, addressMessage, 'RTM_GETADDR', { index: ask.header.index }),
  key: ({ header, attributes }) =>
    [header.family, header.index, header.prefixLength, attributes.local, attributes.address].join(),
  remove: (raw) => asking(addressMessage, 'RTM_DELADDR', 0, raw),
  restore: (raw) => asking(addressMessage, 'RTM_NEWADDR', NLM_F_CREATE | NLM_F_REPLACE, raw),
  replaces: true,
  ignored: ['cacheInfo'],
}

export const routeRow: RowRule = {
  async list(namespace, { header, attributes }) {
    const table = attributes.table ?? header.table
    const rows = await rawRows(namespace, routeMessage, 'RTM_GETROUTE', { family: header.family }, { table })
    return rows.filter(
      (raw) =>
        (raw.attributes.table ?? raw.header.table) === table &&
        raw.attributes.destination === attributes.destination &&
        raw.header.destinationLength === header.destinationLength,
    )
  },
  key: ({ header, attributes }) => [attributes.destination, attributes.priority, header.tos].join(),
  remove: (raw) => asking(routeMessage, 'RTM_DELROUTE', 0, raw),
  restore: (raw) => asking(routeMessage, 'RTM_NEWROUTE', NLM_F_CREATE | NLM_F_APPEND, raw),
  replaces: false,
  ignored: ['cacheInfo', 'padding'],
}

/** IP neighbors, their proxies, and the entries of forwarding databases share a message. */
const neighborRow: RowRule = {
  async list(namespace, { header }) {
    const isBridge = header.family === AF_BRIDGE
    // Of proxies the kernel tells only who asks for them.
    const flags = isBridge ? 0 : header.flags & neighborFlags.proxy
    const link = header.index === 0 ? undefined : header.index
    const attributes = isBridge ? {} : { link }
    const rows = await rawRows(namespace, neighborMessage, 'RTM_GETNEIGH', { family: header.family, flags }, attributes)
    return rows.filter((raw) => raw.header.index === header.index)
  },
  key({ header, attributes }) {
    const { destination, mac, vlan, vni } = attributes
    const way = Number(header.flags) & (neighborFlags.self | neighborFlags.master | neighborFlags.proxy)
    return [header.family, way, destination, header.family === AF_BRIDGE ? mac : '', vlan, vni].join()
  },
  remove: (raw) => asking(neighborMessage, 'RTM_DELNEIGH', 0, raw),
  // One MAC address may lead to several destinations: the others stay.
  restore: (raw) => {
    const isOneOfSeveral = raw.header.family === AF_BRIDGE && raw.attributes.destination !== undefined
    return asking(neighborMessage, 'RTM_NEWNEIGH', NLM_F_CREATE | (isOneOfSeveral ? NLM_F_APPEND : NLM_F_REPLACE), raw)
  },
  replaces: true,
  ignored: ['cacheInfo', 'probes'],
}

const ruleRow: RowRule = {
  list: (namespace, { header }) => rawRows(namespace, ruleMessage, 'RTM_GETRULE', { family: header.family }),
  // A rule is all that it says.
  key: ({ header, attributes }) =>
    JSON.stringify([header, attributes], (_, value) => (typeof value === 'bigint' ? String(value) : value)),
  remove: (raw) => asking(ruleMessage, 'RTM_DELRULE', 0, raw),
  restore: (raw) => asking(ruleMessage, 'RTM_NEWRULE', NLM_F_CREATE, raw),
  replaces: false,
  ignored: ['padding'],
}

const nexthopRow: RowRule = {
  list: (namespace) => rawRows(namespace, nexthopMessage, 'RTM_GETNEXTHOP', {}),
  key: ({ attributes }) => String(attributes.id),
  remove: ({ attributes: { id } }) => asking(nexthopMessage, 'RTM_DELNEXTHOP', 0, { header: {}, attributes: { id } }),
  restore({ header: { family, protocol, flags }, attributes }) {
    // The scope is the kernel's to say, and so are most flags.
    const header = { family, protocol, flags: Number(flags) & nexthopFlags.onlink }
    return asking(nexthopMessage, 'RTM_NEWNEXTHOP', NLM_F_CREATE | NLM_F_REPLACE, { header, attributes })
  },
  replaces: true,
  ignored: [],
}

export const rowRules: readonly (readonly [Definition, UndoRule])[] = [
  [addressMessage, rowRule(addressRow)],
  [routeMessage, rowRule(routeRow)],
  [neighborMessage, rowRule(neighborRow)],
  [ruleMessage, rowRule(ruleRow)],
  [nexthopMessage, rowRule(nexthopRow)],
]
