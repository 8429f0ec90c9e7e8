/** What the kernel's refusals mean: a kind that it does not have, an object that is not there. */
import { errnoNumber } from '../../errno.js'
import { hasCode, NetkitError } from '../../errors.js'
import { kindHint } from '../../suggestions.js'
import { actionKinds, filterKinds, qdiscKinds } from './kinds.js'

type Sort = 'qdisc' | 'filter' | 'action'

const optionPrefixes = { qdisc: 'CONFIG_NET_SCH_', filter: 'CONFIG_NET_CLS_', action: 'CONFIG_NET_ACT_' } as const
/** Kinds whose option in the kernel's configuration is called otherwise (net/sched/Kconfig). */
const others: Readonly<Record<string, string>> = {
  clsact: 'CONFIG_NET_SCH_INGRESS',
  pfifo: 'CONFIG_NET_SCHED',
  bfifo: 'CONFIG_NET_SCHED',
  route: 'CONFIG_NET_CLS_ROUTE4',
}

function configuration(sort: Sort, kind: string): string {
  return others[kind] ?? optionPrefixes[sort] + kind.toUpperCase()
}

const known = { qdisc: qdiscKinds, filter: filterKinds, action: actionKinds } as const

/** The words of kernels that lack a kind: net/sched/sch_api.c, cls_api.c, act_api.c. */
const unknownKind: readonly [Sort, RegExp][] = [
  ['qdisc', /qdisc kind is unknown|qdisc not found\.?$/i],
  ['filter', /TC classifier not found/i],
  ['action', /Failed to load TC action module/i],
]

/** Names a kind that the kernel lacks, with the option that it was built without. Other errors stay as they are. */
export function kindError(
  error: unknown,
  message: string,
  kinds: { qdisc?: string; filter?: string; actions?: readonly string[] },
): unknown {
  if (!hasCode(error, 'ENOENT', 'EOPNOTSUPP')) return error
  const sort = unknownKind.find(([, words]) => words.test(error.kernelMessage ?? ''))?.[0]
  const names = sort === 'qdisc' ? kinds.qdisc : sort === 'filter' ? kinds.filter : kinds.actions
  if (sort === undefined || names === undefined || names.length === 0) return error
  const missing = typeof names === 'string' ? [names] : [...new Set(names)]
  const quoted = missing.map((name) => `'${name}'`).join(' or ')
  const configurations = missing.map((name) => configuration(sort, name))
  const meant = missing.map((name) => (known[sort].of(name) === undefined ? kindHint(name, known[sort].names) : ''))
  return new NetkitError({
    message,
    errno: -error.errno,
    syscall: error.syscall,
    kernelMessage: error.kernelMessage,
    attribute: error.attribute,
    hint: `this kernel has no ${sort} ${quoted}: ${configurations.join(', ')}${meant.join('')}`,
    cause: error,
  })
}

/** True when the kernel lacks a kind of action. */
export function lacksAction(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'EOPNOTSUPP') && /TC action module/i.test(error.kernelMessage ?? '')
}

/** In what words the kernel says EINVAL for an object that is not there. */
const absent = /Invalid handle|Parent Qdisc doesn't exists|Cannot find specified (filter chain|qdisc)|not found/i

/** The error of a removal: ENOENT when there is nothing to remove, whatever code the kernel has for it. */
export function absentError(error: unknown, message: string): unknown {
  if (!hasCode(error, 'EINVAL') || !absent.test(error.kernelMessage ?? '')) return error
  return new NetkitError({
    message,
    errno: errnoNumber('ENOENT'),
    syscall: error.syscall,
    kernelMessage: error.kernelMessage,
    cause: error,
  })
}
