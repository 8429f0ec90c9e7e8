/** Undoing of what is done to links now and then: alternative names, parameters of IPv4, XDP programs. */
import { namedError } from '../../errors.js'
import type { Namespace } from '../../namespace/namespace.js'
import { wordsOf } from '../../netlink/acknowledgement.js'
import { addAlternativeNames, removeAlternativeName } from '../alternative-names.js'
import type { AnyAsk } from '../interceptor.js'
import type { Link } from '../link.js'
import type { LinkAttributes } from '../link-attributes.js'
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

/** Names that come or go: those that the link had before, again. */
export async function prepareNames(
  namespace: Namespace,
  { request, header, attributes }: AnyAsk,
): Promise<() => Promise<Undo[]>> {
  const index = header.index as number
  const names = (attributes as LinkAttributes).properties?.alternativeNames ?? []
  const link = () => `link ${index}`
  return async () =>
    names.map((name) =>
      request === 'RTM_NEWLINKPROP'
        ? () => removeAlternativeName(namespace, index, name, link)
        : () => addAlternativeNames(namespace, index, [name], link),
    )
}
