/** Alternative names of links: more names, of up to 127 bytes (ip-link(8), "property"). */
import { hasCode, namedError } from '../errors.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { linkMessage } from './link-attributes.js'
import { change } from './talk.js'

const { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants

/** Gives a link more names. Rejects with EEXIST when one is taken; `link` names it in errors. */
export function addAlternativeNames(
  namespace: Namespace,
  index: number,
  names: readonly string[],
  link: () => string,
): Promise<void> {
  return change(namespace, {
    definition: linkMessage,
    request: 'RTM_NEWLINKPROP',
    flags: NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND,
    header: { index },
    attributes: { properties: { alternativeNames: [...names] } },
    what: () => `cannot give ${link()} the alternative name ${names.join(', ')}`,
  })
}

/** Takes a name away. Rejects with ENOENT when it is none of the link's. */
export async function removeAlternativeName(
  namespace: Namespace,
  index: number,
  name: string,
  link: () => string,
): Promise<void> {
  try {
    await change(namespace, {
      definition: linkMessage,
      request: 'RTM_DELLINKPROP',
      header: { index },
      attributes: { properties: { alternativeNames: [name] } },
      what: () => `cannot take the alternative name ${name} from ${link()}`,
    })
  } catch (error) {
    // What the kernel says of another link's name, and of a link's first.
    if (!hasCode(error, 'EINVAL')) throw error
    const message = `cannot take ${name} from ${link()}: it is not an alternative name of it`
    throw namedError('ENOENT', 'RTM_DELLINKPROP', message, error)
  }
}
