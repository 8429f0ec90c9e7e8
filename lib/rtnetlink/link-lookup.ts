/** Finding links: by name, alternative name or index. */
import { hasCode, NetkitError } from '../errors.js'
import { sameNamespace } from '../namespace/identity.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import type { Description } from '../netlink/acknowledgement.js'
import { copyOf, sourceOf } from '../netlink/bytes.js'
import { valueError } from '../validate.js'
import { type LinkAttributes, linkMessage } from './link-attributes.js'
import { checkLinkReference, isLink, type LinkReference } from './link-options.js'
import { isLongName } from './names.js'
import { ask, change } from './talk.js'

/** The parts of a message that say which link it is about: the index, or a name in place of it. */
function saying(link: string | number): { index: number; attributes: LinkAttributes } {
  if (typeof link === 'number') return { index: link, attributes: {} }
  // The kernel takes a long name only as an alternative one, in place of the name.
  return { index: 0, attributes: isLongName(link) ? { alternativeName: link } : { name: link } }
}

/** Removes a link. Rejects with ENODEV when there is none of this name or index. */
export async function removeLink(
  namespace: Namespace,
  link: string | number,
  what: Description['what'],
): Promise<void> {
  const { index, attributes } = saying(link)
  await change(namespace, { definition: linkMessage, request: 'RTM_DELLINK', header: { index }, attributes, what })
}

/**
 * The payload of a link's RTM_NEWLINK. Rejects with ENODEV when there is none of this name or index. `more` says what else is
 * wanted of it, or of which namespace it is.
 */
export function fetchLink(
  namespace: Namespace,
  link: string | number,
  what: Description['what'],
  more: Pick<LinkAttributes, 'filterMask' | 'targetNamespaceId'> = {},
): Promise<Uint8Array> {
  const { index, attributes } = saying(link)
  return ask(
    namespace,
    {
      definition: linkMessage,
      request: 'RTM_GETLINK',
      header: { index },
      attributes: { ...attributes, ...more },
      what,
    },
    ({ source, start, end }) => copyOf(source.bytes, start, end),
  )
}

/**
 * The index of a link in a namespace. A Link must be in that namespace; a name is looked up. A promise only then: what needs no
 * answer first must not be overtaken by what is asked for later in the same tick, so callers await it only if it is one.
 */
export function indexOfLink(namespace: Namespace, link: LinkReference, name: string): number | Promise<number> {
  checkLinkReference(link, name)
  if (typeof link === 'number') return link
  if (isLink(link)) {
    if (!sameNamespace(link.namespace, namespace)) {
      throw valueError(name, link.name, `is in ${labelOf(link.namespace)}, not in ${labelOf(namespace)}`)
    }
    return link.index
  }
  return lookUp(namespace, link, name)
}

async function lookUp(namespace: Namespace, link: string, name: string): Promise<number> {
  try {
    const payload = await fetchLink(namespace, link, `${name}: no link '${link}' in ${labelOf(namespace)}`)
    return linkMessage.header.decode(sourceOf(payload), 0, payload.length).index
  } catch (error) {
    // The kernel's words would say the same a second time.
    if (!hasCode(error, 'ENODEV')) throw error
    throw new NetkitError({
      message: `${name} '${link}' in ${labelOf(namespace)}`,
      errno: 19,
      syscall: 'RTM_GETLINK',
      cause: error,
    })
  }
}

/** The same; undefined when nothing was said. */
export function indexIfGiven(
  namespace: Namespace,
  link: LinkReference | undefined,
  name: string,
): number | undefined | Promise<number> {
  return link === undefined ? undefined : indexOfLink(namespace, link, name)
}

/** The index of a master: 0 for none, undefined when nothing was said. A promise as above. */
export function indexOfMaster(
  namespace: Namespace,
  master: LinkReference | null | undefined,
  name: string,
): number | undefined | Promise<number> {
  return master === null ? 0 : indexIfGiven(namespace, master, name)
}
