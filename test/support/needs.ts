/** What a test needs of the machine. A test that cannot run is skipped, and says why. */
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { delimiter, join } from 'node:path'
import type { NetkitError } from '../../dist/errors.js'
import { createNamespace } from '../../dist/namespace/open.js'
import { netlinkConstants } from '../../dist/netlink/message.js'
import { createBridge } from '../../dist/rtnetlink/create-link.js'
import type { Encapsulation } from '../../dist/rtnetlink/encapsulation.js'
import { linkMessage } from '../../dist/rtnetlink/link-attributes.js'
import { change } from '../../dist/rtnetlink/talk.js'
import '../../dist/rtnetlink/routes.js'
import { filterInfo } from '../../dist/rtnetlink/traffic/filter.js'
import { handleConstants } from '../../dist/rtnetlink/traffic/handles.js'
import { filterMessage, qdiscMessage } from '../../dist/rtnetlink/traffic/message.js'
import { runProgram } from './program.js'

/**
 * 'namespaces': the privilege to make them. 'names': to bind them to /run/netns. 'root': to become another user. 'nobody':
 * the same, and that user may run this node and read this package. 'tun': /dev/net/tun. 'kind:vlan': a kernel with this kind of
 * link; 'qdisc:tbf', 'filter:flower', 'action:police': with this kind of queueing discipline, filter, action;
 * 'bridge:vlan-filtering': with bridges that have it; 'encap:mpls': with this encapsulation of routes. 'kernel:6.7': one at least as new. Anything else is the name of a program.
 */
export type Requirement = 'namespaces' | 'names' | 'root' | 'nobody' | 'tun' | (string & {})

/** The user that owns nothing, by its usual number. */
export const NOBODY = 65534

const known = new Map<Requirement, string | undefined>()

/** Requirements with a parameter, by what stands before the colon. Why it is not met, or undefined. */
const probes: Readonly<Record<string, (parameter: string) => Promise<string | undefined>>> = {
  kind: (kind) => probeKind(kind),
  qdisc: (kind) => probeQdisc(kind),
  bridge: (feature) => probeBridge(feature),
  filter: (kind) => probeFilter(kind),
  action: (kind) => probeFilter('u32', kind),
  encap: (type) => probeEncapsulation(type),
  kernel: async (version) => {
    const [major = 0, minor = 0] = release().split(/[.-]/).map(Number)
    const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number)
    const isNew = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
    return isNew ? undefined : `this kernel is ${major}.${minor}, and this takes ${version}`
  },
}

/** A kernel that lacks a kind says so before it looks at anything else. */
async function probeKind(kind: string): Promise<string | undefined> {
  const unable = await missing('namespaces')
  if (unable !== undefined) return unable
  await using box = await createNamespace()
  const header = { index: 0 }
  const asked = change(box, {
    definition: linkMessage,
    request: 'RTM_NEWLINK',
    flags: netlinkConstants.NLM_F_CREATE | netlinkConstants.NLM_F_EXCL,
    header,
    attributes: { name: 'probe', info: { kind } },
    what: '',
  })
  const code = await asked.then(
    () => undefined,
    (error: NetkitError) => error.code,
  )
  return code === 'EOPNOTSUPP' ? `this kernel (${release()}) has no ${kind} links` : undefined
}

/** The same of a queueing discipline: it is looked for before its options are. */
async function probeQdisc(kind: string): Promise<string | undefined> {
  const unable = await missing('namespaces')
  if (unable !== undefined) return unable
  await using box = await createNamespace()
  const { TC_H_ROOT, TC_H_INGRESS } = handleConstants
  const isIngress = kind === 'ingress' || kind === 'clsact'
  const asked = change(box, {
    definition: qdiscMessage,
    request: 'RTM_NEWQDISC',
    flags: netlinkConstants.NLM_F_CREATE | netlinkConstants.NLM_F_EXCL,
    header: { index: 1, parent: isIngress ? TC_H_INGRESS : TC_H_ROOT, handle: isIngress ? 0xffff_0000 : 0x1_0000 },
    attributes: { kind },
    what: '',
  })
  const code = await asked.then(
    () => undefined,
    (error: NetkitError) => error.code,
  )
  return code === 'ENOENT' || code === 'EOPNOTSUPP' ? `this kernel (${release()}) has no ${kind} qdisc` : undefined
}

/** A bridge that cannot do something says so as soon as it is asked for it. */
async function probeBridge(feature: string): Promise<string | undefined> {
  if (feature !== 'vlan-filtering') throw new Error(`nobody knows how to look for a bridge's ${feature}`)
  const unable = await missing('namespaces')
  if (unable !== undefined) return unable
  await using box = await createNamespace()
  const code = await createBridge({ name: 'probe', namespace: box, vlanFiltering: true }).then(
    (bridge) => (bridge.options.vlanFiltering === true ? undefined : 'EOPNOTSUPP'),
    (error: NetkitError) => error.code,
  )
  return code === 'EOPNOTSUPP' ? `this kernel (${release()}) has no bridges with VLAN filtering` : undefined
}

/** A filter, or of an action of a filter. They are looked for before their options are. */
async function probeFilter(kind: string, action?: string): Promise<string | undefined> {
  const unable = (await missing('qdisc:clsact')) ?? (action === undefined ? undefined : await missing('filter:u32'))
  if (unable !== undefined) return unable
  await using box = await createNamespace()
  const loopback = await box.links.get('lo')
  await loopback.qdiscs.add({ kind: 'clsact' })
  const key = { value: 0, mask: 0, offset: 0, offsetMask: 0 }
  const selector = { flags: 1, offsetShift: 0, offsetMask: 0, offset: 0, offsetOffset: 0, hashOffset: 0, hashMask: 0 }
  const asked = change(box, {
    definition: filterMessage,
    request: 'RTM_NEWTFILTER',
    flags: netlinkConstants.NLM_F_CREATE | netlinkConstants.NLM_F_EXCL,
    header: { index: loopback.index, parent: 0xffff_fff2, info: filterInfo(1, 3) },
    attributes: {
      kind,
      options:
        action === undefined
          ? {}
          : { selector: { ...selector, keys: [key] }, actions: [{ kind: action, options: {} }] },
    },
    what: '',
  })
  const code = await asked.then(
    () => undefined,
    (error: NetkitError) => error.code,
  )
  const what = action === undefined ? `${kind} filter` : `${action} action`
  return code === 'ENOENT' || code === 'EOPNOTSUPP' ? `this kernel (${release()}) has no ${what}` : undefined
}

/** Encapsulations that a kernel can lack, and one of each. */
const encapsulations: Readonly<Record<string, Encapsulation>> = {
  ip: { type: 'ip', destination: '192.0.2.1' },
  mpls: { type: 'mpls', labels: [100] },
  seg6: { type: 'seg6', mode: 'encap', segments: ['fd00::1'] },
  seg6local: { type: 'seg6local', action: 'End' },
  xfrm: { type: 'xfrm', interfaceId: 1 },
}

/** An encapsulation is looked for before the route is made, and loaded as a module where there is one. */
async function probeEncapsulation(type: string): Promise<string | undefined> {
  const encapsulation = encapsulations[type]
  if (encapsulation === undefined) throw new Error(`nobody knows how to look for the encapsulation '${type}'`)
  const unable = await missing('namespaces')
  if (unable !== undefined) return unable
  await using box = await createNamespace()
  const loopback = await box.links.get('lo')
  await loopback.set({ up: true })
  const code = await box.routes.add({ to: 'fd00::/16', link: loopback, encapsulation }).then(
    () => undefined,
    (error: NetkitError) => error.code,
  )
  return code === 'EOPNOTSUPP' ? `this kernel (${release()}) has no ${type} encapsulation` : undefined
}

async function missing(requirement: Requirement): Promise<string | undefined> {
  const [probe = '', parameter] = requirement.split(':')
  if (parameter !== undefined) {
    const look = probes[probe]
    if (look === undefined) throw new Error(`nobody knows how to look for '${requirement}'`)
    return look(parameter)
  }
  switch (requirement) {
    case 'namespaces':
      return tried('network namespaces cannot be made here', () => createNamespace())
    case 'names':
      return tried('namespaces cannot be named here', () => createNamespace(`netkit-needs-${process.pid}`))
    case 'root':
      return mayBecomeNobody() ? undefined : 'this takes root, outside of a user namespace'
    case 'nobody': {
      if (!mayBecomeNobody()) return missing('root')
      const { exitCode } = await runProgram("import './dist/namespace/open.js'", { uid: NOBODY, gid: NOBODY })
      return exitCode === 0 ? undefined : `another user cannot run ${process.execPath} with this package`
    }
    case 'tun':
      try {
        closeSync(openSync('/dev/net/tun', 'r+'))
        return undefined
      } catch (error) {
        return `/dev/net/tun cannot be opened: ${(error as Error).message}`
      }
    default:
      return programPath(requirement) === undefined ? `the program ${requirement} is not installed` : undefined
  }
}

/** For root: whether there is another user in this user namespace (user_namespaces(7)). */
function mayBecomeNobody(): boolean {
  if (process.geteuid?.() !== 0) return false
  const ranges = readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n')
  return ranges.some((range) => {
    const [first = 0, , count = 0] = range.trim().split(/\s+/).map(Number)
    return NOBODY >= first && NOBODY < first + count
  })
}

async function tried(reason: string, make: () => Promise<AsyncDisposable>): Promise<string | undefined> {
  try {
    const made = await make()
    await made[Symbol.asyncDispose]()
    return undefined
  } catch (error) {
    return `${reason}: ${(error as Error).message}`
  }
}

function programPath(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/** The options of a test that needs these: `t.test('…', await needs('namespaces', 'ip'), async (t) => …)`. */
export async function needs(...requirements: Requirement[]): Promise<{ skip: string | false }> {
  for (const requirement of requirements) {
    if (!known.has(requirement)) known.set(requirement, await missing(requirement))
    const reason = known.get(requirement)
    if (reason !== undefined) return { skip: reason }
  }
  return { skip: false }
}
