/** Links: RTM_NEWLINK, with the options of every kind. */
import { Link } from '../../dist/rtnetlink/link.js'
import { linkMessage } from '../../dist/rtnetlink/link-attributes.js'
import { messageTarget } from './target.js'
import '../../dist/index.js'

/** The namespace is none here, and what is decoded when someone looks is looked at by the others. */
const hidden = ['namespace', 'seen']

/** What a Link says of itself, all of it. */
const properties = Object.entries(Object.getOwnPropertyDescriptors(Link.prototype))
  .filter(([name, { get }]) => get !== undefined && !hidden.includes(name))
  .map(([name]) => name as keyof Link)

/** What can be compared: not the collections that hang on a link. */
function plain(value: unknown): unknown {
  if (typeof value === 'function') return undefined
  const isCollection = typeof value === 'object' && value !== null && /^Link/.test(value.constructor?.name ?? '')
  return isCollection || typeof value === 'function' ? undefined : value
}

export const targets = [
  messageTarget('links', linkMessage, (_decoded, { source, start, end }) => {
    // rtnetlink itself never sends less than struct ifinfomsg, and a Link is made of no less.
    if (end - start < linkMessage.header.size) return undefined
    const link = new Link({} as never, source.bytes.slice(start, end), false)
    return properties.map((name) => plain(link[name]))
  }),
]
