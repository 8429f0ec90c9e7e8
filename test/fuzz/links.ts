/** Links: RTM_NEWLINK, with the options of every kind. */
import { Link } from '../../dist/rtnetlink/link.js'
import { linkMessage } from '../../dist/rtnetlink/link-attributes.js'
import { messageTarget } from './target.js'
import '../../dist/index.js'

/** What a Link says of itself, all of it. */
const properties = Object.entries(Object.getOwnPropertyDescriptors(Link.prototype))
  .filter(([name, { get }]) => get !== undefined && name !== 'namespace')
  .map(([name]) => name as keyof Link)

export const targets = [
  messageTarget('links', linkMessage, (_decoded, { source, start, end }) => {
    // rtnetlink itself never sends less than struct ifinfomsg, and a Link is made of no less.
    if (end - start < linkMessage.header.size) return undefined
    const link = new Link({} as never, source.bytes.slice(start, end), false)
    return properties.map((name) => link[name])
  }),
]
