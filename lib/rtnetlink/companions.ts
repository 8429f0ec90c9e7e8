/** Links that netkit made to serve others, which the kernel does not take along when those go: the ifb of `link.limit`. */
import { hasCode } from '../errors.js'
import type { Namespace } from '../namespace/namespace.js'
import { linkMessage } from './link-attributes.js'
import { change } from './talk.js'

/** The names of companions, by the namespace and the index of the link that they serve. An index may be another's by then. */
const companions = new Map<string, string>()

const keyOf = (namespace: Namespace, index: number) => `${namespace.inode} ${index}`

/** Notes that a link is to go with another. */
export function accompany(namespace: Namespace, index: number, companion: string): void {
  companions.set(keyOf(namespace, index), companion)
}

/** Forgets a companion, which has been removed. */
export function unaccompany(namespace: Namespace, index: number): void {
  companions.delete(keyOf(namespace, index))
}

/** Removes the companion, if there is one, of a link that is gone or has left the namespace. */
export async function removeCompanion(namespace: Namespace, index: number): Promise<void> {
  const name = companions.get(keyOf(namespace, index))
  if (name === undefined) return
  unaccompany(namespace, index)
  try {
    await change(namespace, {
      definition: linkMessage,
      request: 'RTM_DELLINK',
      header: {},
      attributes: { name },
      what: `cannot delete ${name}`,
    })
  } catch (error) {
    if (!hasCode(error, 'ENODEV')) throw error
  }
}
