/** Undoing of what is done to links now and then: alternative names, parameters of IPv4, XDP programs. */
import { hasCode, namedError } from '../../errors.js'
import type { Namespace } from '../../namespace/namespace.js'
import { wordsOf } from '../../netlink/acknowledgement.js'
import { addAlternativeNames, removeAlternativeName } from '../alternative-names.js'
import type { AnyAsk } from '../interceptor.js'
import { Link } from '../link.js'
import type { LinkAttributes } from '../link-attributes.js'
import { fetchLink } from '../link-lookup.js'
import type { Undo } from './undo.js'

/** The attributes that set these back to what they were, of those that a request sets. */
export function detailsBack(before: Link, asked: LinkAttributes): LinkAttributes {
  const back: LinkAttributes = {}
  if (asked.operationalState !== undefined) back.operationalState = before.attributes.operationalState
  if (asked.protocolDownReason !== undefined) {
    back.protocolDownReason = { mask: 0xffff_ffff, value: before.attributes.protocolDownReason?.value ?? 0 }
  }
  const { inet, inet6 } = (asked.families ?? {}) as { inet?: { configuration?: object }; inet6?: object }
  const families: Record<string, unknown> = {}
  if (inet?.configuration !== undefined) {
    const was = Object.entries(before.ipv4 ?? {}).filter(([key]) => key in (inet.configuration as object))
    families.inet = { configuration: Object.fromEntries(was) }
  }
  if (inet6 !== undefined) {
    const { addressGeneration } = before
    const was = { addressGeneration, token: before.ipv6Token ?? '::' }
    families.inet6 = Object.fromEntries(Object.entries(was).filter(([key]) => key in inet6))
  }
  if (Object.keys(families).length > 0) back.families = families as LinkAttributes['families']
  return back
}

/** Throws for what could not be undone: descriptors of programs that are attached are not to be had, nor a card's settings. */
export function checkUndoable(before: Link, ask: AnyAsk): void {
  const { xdp, virtualFunctions } = ask.attributes as LinkAttributes
  if (virtualFunctions === undefined && (xdp === undefined || before.xdp === undefined)) return
  const what = `${wordsOf(ask)}: it cannot be part of a transaction, as it could not be undone`
  throw namedError('EOPNOTSUPP', ask.request, what)
}

/** The link that a request is about, or undefined. */
export async function find(
  namespace: Namespace,
  index: number | undefined,
  name: string | undefined,
): Promise<Link | undefined> {
  const key = index || name
  if (key === undefined) return undefined
  try {
    return new Link(namespace, await fetchLink(namespace, key, `cannot read ${key}`), false)
  } catch (error) {
    if (hasCode(error, 'ENODEV')) return undefined
    throw error
  }
}

/** Names that come or go, or some of them when one is refused: those that the link had before, again. */
export async function prepareNames(
  namespace: Namespace,
  { header, attributes }: AnyAsk,
): Promise<() => Promise<Undo[]>> {
  const index = header.index as number
  const asked = (attributes as LinkAttributes).properties?.alternativeNames ?? []
  const link = () => `link ${index}`
  const namesNow = async () => (await find(namespace, index, undefined))?.alternativeNames ?? []
  const before = await namesNow()
  return async () => {
    const after = await namesNow()
    const differ = asked.filter((name) => before.includes(name) !== after.includes(name))
    return differ.map((name) =>
      before.includes(name)
        ? () => addAlternativeNames(namespace, index, [name], link)
        : () => removeAlternativeName(namespace, index, name, link),
    )
  }
}
