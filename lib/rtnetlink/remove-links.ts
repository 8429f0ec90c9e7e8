/** Deleting many links at once, by the kernel's deletion of a group (rtnl_group_dellink in net/core/rtnetlink.c). */
import { hasCode, NetkitError, namedError, undoOnFailure } from '../errors.js'
import { sameNamespace } from '../namespace/identity.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { checkBoolean, checkInteger, checkOptions, checkString, typeError, valueError } from '../validate.js'
import { removeCompanion } from './companions.js'
import { chosenIndex } from './create-link.js'
import type { Link } from './link.js'
import { type LinkAttributes, linkMessage } from './link-attributes.js'
import { indexOfMaster } from './link-lookup.js'
import { checkLinkReference, isLink, type LinkReference } from './link-options.js'
import { saysNothing } from './says-nothing.js'
import { allOrFirstError, change, changeMany } from './talk.js'

/** Which links `removeMany` deletes: these, or all that match; what is not said matches any. */
export type LinksToRemove =
  | readonly LinkReference[]
  | {
      kind?: string
      /** Ports of this link; null for links that are nobody's port. */
      master?: LinkReference | null
      up?: boolean
      group?: number
    }

/** Whether all links of a group are meant, whatever else they are: the kernel knows them. */
function isGroup(which: LinksToRemove): which is { group: number } {
  return (
    !Array.isArray(which) && Object.entries(which).every(([key, value]) => (key === 'group') === (value !== undefined))
  )
}

/** Throws ERR_INVALID_ARG_… for what does not say which links are meant, and for links of another namespace. */
export function checkLinksToRemove(namespace: Namespace, which: LinksToRemove): void {
  if (!Array.isArray(which)) {
    if (typeof which !== 'object' || which === null) throw typeError('links', 'an array of links, or a filter', which)
    checkOptions(which, 'links', ['kind', 'master', 'up', 'group'])
    const { kind, master, up, group } = which as Exclude<LinksToRemove, readonly LinkReference[]>
    if (saysNothing(which)) throw valueError('links', which, "says nothing; { kind: 'veth' } is all of a kind")
    if (kind !== undefined) checkString(kind, 'links.kind')
    if (up !== undefined) checkBoolean(up, 'links.up')
    if (group !== undefined) checkInteger(group, 'links.group', 0, 0xffff_ffff)
    if (master !== undefined && master !== null) checkLinkReference(master, 'links.master')
    return
  }
  which.forEach((link: LinkReference, i) => {
    checkLinkReference(link, `links[${i}]`)
    if (isLink(link) && !sameNamespace(link.namespace, namespace)) {
      throw valueError(`links[${i}]`, link.name, `is in ${labelOf(link.namespace)}, not in ${labelOf(namespace)}`)
    }
  })
}

/** Deletes links: those of `all`, which the namespace has now, that are meant. Resolves to them. */
export async function removeLinks(namespace: Namespace, which: LinksToRemove, all: readonly Link[]): Promise<Link[]> {
  const asGroup = isGroup(which) ? which.group : undefined
  const links = Array.isArray(which) ? meant(which, all) : await matching(namespace, which as LinkTraits, all)
  const fixed = links.filter(({ kind }) => kind === undefined)
  if (fixed.length > 0) {
    // The kernel would refuse all of them for it: the loopback and hardware cannot be deleted.
    const names = fixed.map(({ name }) => name).join(', ')
    throw namedError('EOPNOTSUPP', 'RTM_DELLINK', `cannot delete ${names}: only links of a kind can be deleted`)
  }
  if (links.length === 0) return []
  if (asGroup !== undefined) {
    await removeGroup(namespace, asGroup)
    await removeCompanions(namespace, links)
    return links
  }
  const group = freeGroup(all)
  return undoOnFailure(
    async () => {
      await gather(namespace, links, group)
      await removeGroup(namespace, group)
      await removeCompanions(namespace, links)
      return links
    },
    // Those that are gone cannot get their group back.
    () => regroup(namespace, links, (link) => link.group).catch(passOverGone),
  )
}

type LinkTraits = Exclude<LinksToRemove, readonly LinkReference[]>

async function matching(
  namespace: Namespace,
  { kind, master, up, group }: LinkTraits,
  all: readonly Link[],
): Promise<Link[]> {
  const over = await indexOfMaster(namespace, master, 'links.master')
  return all.filter(
    (link) =>
      (kind === undefined || link.kind === kind) &&
      (over === undefined || (link.master ?? 0) === over) &&
      (up === undefined || link.up === up) &&
      (group === undefined || link.group === group),
  )
}

/** The links that are there of those that are meant, each once. */
function meant(which: readonly LinkReference[], all: readonly Link[]): Link[] {
  const byKey = new Map<string | number, Link>()
  for (const link of all) for (const name of link.alternativeNames) byKey.set(name, link)
  for (const link of all) byKey.set(link.index, link).set(link.name, link)
  const found = which.map((link) => byKey.get(isLink(link) ? link.index : link))
  return [...new Set(found.filter((link) => link !== undefined))]
}

/** A group that none of the links is in. */
function freeGroup(all: readonly Link[]): number {
  const taken = new Set(all.map(({ group }) => group))
  for (;;) {
    const group = chosenIndex()
    if (!taken.has(group)) return group
  }
}

/** Puts links into a group; those that are gone meanwhile are passed over. */
async function gather(namespace: Namespace, links: readonly Link[], group: number): Promise<void> {
  await regroup(namespace, links, () => group).catch(passOverGone)
}

function regroup(namespace: Namespace, links: readonly Link[], groupOf: (link: Link) => number): Promise<void> {
  const requests = links.map((link) => ({
    definition: linkMessage,
    request: 'RTM_NEWLINK' as const,
    header: { index: link.index },
    attributes: { group: groupOf(link) } satisfies LinkAttributes,
    what: () => `cannot put ${link.name} into a group`,
  }))
  return changeMany(namespace, requests)
}

/** Throws what went wrong, unless that was nothing but links that are gone. */
function passOverGone(error: unknown): void {
  const all = (error as { errors?: unknown[] }).errors ?? [error]
  const other = all.find((one) => !hasCode(one, 'ENODEV'))
  if (other !== undefined) throw other
}

async function removeCompanions(namespace: Namespace, links: readonly Link[]): Promise<void> {
  await allOrFirstError(links.map(({ index }) => removeCompanion(namespace, index)))
}

async function removeGroup(namespace: Namespace, group: number): Promise<void> {
  try {
    await change(namespace, {
      definition: linkMessage,
      request: 'RTM_DELLINK',
      header: {},
      attributes: { group },
      what: `cannot delete the links of group ${group} in ${labelOf(namespace)}`,
    })
  } catch (error) {
    // All of them went meanwhile.
    if (!(error instanceof NetkitError) || error.code !== 'ENODEV') throw error
  }
}
