/** Changes of kinds whose change the kernel takes for a complete description: what is not said would become zero. */
import type { OwnOptions } from './kind-options.js'
import { kindOf } from './kinds/registry.js'
import type { Link } from './link.js'

/** What is sent for a change; `sent` is to be called as soon as that is under way. */
export interface WholeChange {
  data: OwnOptions
  sent(): void
}

/** The changes of each link take turns: each begins with what the one before left. */
const turns = new WeakMap<Link, Promise<void>>()

/**
 * The options that a change is made of. Where the kind wants all of them, the link is read anew by `fetch` for those that do not
 * change, and this is a promise.
 */
export function wholeChange(
  link: Link,
  changes: OwnOptions,
  fetch: () => Promise<unknown>,
): WholeChange | Promise<WholeChange> {
  const merge = kindOf(link.kind)?.merge
  if (merge === undefined) return { data: changes, sent() {} }
  const before = turns.get(link)
  let sent = () => {}
  const turn = new Promise<void>((resolve) => {
    sent = resolve
  })
  turns.set(link, turn)
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
  const prepare = async (): Promise<WholeChange> => {
    try {
      await before
      await fetch()
      return { data: merge(link.options as OwnOptions, given), sent }
    } catch (error) {
      sent()
      throw error
    }
  }
  return prepare()
}
