/**
 * iproute2 as the referee of a kind's options: each is given by netkit and read by `ip -j -d`, and the other way round, when a
 * link is made and when it is changed. An option of the kind's table that no case has, and no excuse, fails the test.
 */
import type { Test } from 'tap'
import type { Link, Namespace } from '../../dist/index.js'
import { kindOf } from '../../dist/rtnetlink/kinds/registry.js'
import { needs } from './needs.js'
import { changesDuring } from './netlink.js'
import { ip, ipDo, scratch } from './scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any
type Options = Record<string, unknown>

/** Options of a kind with iproute2's words for them. */
export interface Said {
  options: Options
  words: readonly string[]
}

export interface KindCase {
  option: string
  /** A value that is not the default. */
  value: unknown
  /** What is read of it, where that is not `value`. */
  read?: unknown
  /** iproute2's words for it; undefined when this iproute2 has none. */
  words?: readonly string[] | undefined
  /** Where it stands in info_data (info_slave_data), and how; undefined when this iproute2 does not show it. */
  shown?: readonly [key: string, value: unknown] | undefined
  /** What else a link needs for it. */
  with?: Said
  /** False for what is given once, when the link is made; 'only' for what can only be changed. Default: both. */
  change?: boolean | 'only'
  /** What it needs of the machine: 'kernel:6.4'. */
  needs?: string
}

export interface KindReferee {
  kind: string
  /** Makes what the links need, in an empty namespace: their parent, their master. */
  prepare?(namespace: Namespace): Promise<unknown>
  /** What every link of the kind is made with. */
  base?: Said
  /** For kinds that stand on another: the name of the link that `prepare` made. */
  parent?: string
  cases: readonly KindCase[]
  /** What can only be read, and how iproute2 shows it: of a link made plainly. */
  reads?: Readonly<Record<string, (data: Json) => unknown>>
  /** Options that cannot be refereed, and why. */
  excused?: Readonly<Record<string, string>>
}

/** How links of a kind, or ports of a master of it, are made and looked at. */
interface Subject {
  options: readonly string[]
  readOnly: readonly string[]
  make(namespace: Namespace, name: string, options: Options): Promise<Link>
  ensure(namespace: Namespace, name: string, options: Options): Promise<{ changes: string[] }>
  change(link: Link, options: Options): Promise<unknown>
  read(link: Link): Options
  makeByIp(namespace: Namespace, name: string, words: readonly string[]): Promise<void>
  shown(json: Json): Json
}

function linkSubject({ kind, parent }: KindReferee): Subject {
  const known = kindOf(kind)
  if (known === undefined) throw new Error(`there is no table of ${kind}`)
  const above = parent === undefined ? {} : { parent }
  return {
    options: known.options.attributes.map(({ key }) => key),
    readOnly: known.readOnly ?? [],
    make: (namespace, name, options) => namespace.links.add({ kind, name, ...above, ...options } as never),
    ensure: (namespace, name, options) => namespace.links.ensure({ kind, name, ...above, ...options } as never),
    change: (link, options) => link.set(options),
    read: (link) => link.options as Options,
    makeByIp: (namespace, name, words) =>
      ipDo(namespace, 'link', 'add', ...(parent === undefined ? [] : ['link', parent]), name, 'type', kind, ...words),
    shown: (json) => json.linkinfo.info_data ?? {},
  }
}

/** Ports of a master of the kind: ifb links, as every kernel of the tests has them. `prepare` has made the master, 'master'. */
function portSubject({ kind }: KindReferee): Subject {
  const known = kindOf(kind)?.port
  if (known === undefined) throw new Error(`there is no table of the ports of ${kind}`)
  const split = ({ up, ...port }: Options) => ({ kind: 'ifb', master: 'master', port, ...(up ? { up: true } : {}) })
  return {
    options: known.options.attributes.map(({ key }) => key),
    readOnly: known.readOnly ?? [],
    make: (namespace, name, options) => namespace.links.add({ name, ...split(options) } as never),
    ensure: (namespace, name, options) => namespace.links.ensure({ name, ...split(options) } as never),
    change: (link, port) => link.set({ port }),
    read: (link) => (link.port ?? {}) as Options,
    async makeByIp(namespace, name, words) {
      await ipDo(namespace, 'link', 'add', name, 'type', 'ifb')
      const up = words.includes('up') ? ['up'] : []
      await ipDo(namespace, 'link', 'set', name, ...up, 'master', 'master')
      const own = words.filter((word) => word !== 'up')
      if (own.length > 0) await ipDo(namespace, 'link', 'set', name, 'type', `${kind}_slave`, ...own)
    },
    shown: (json) => json.linkinfo.info_slave_data ?? {},
  }
}

/** Holds the links of a kind against iproute2. */
export function refereeKind(t: Test, referee: KindReferee): Promise<unknown> {
  return referees(t, referee.kind, referee, linkSubject(referee))
}

/** Holds the ports of a kind of master against iproute2. */
export function refereePorts(t: Test, referee: KindReferee): Promise<unknown> {
  return referees(t, `ports of ${referee.kind}`, referee, portSubject(referee))
}

async function referees(t: Test, what: string, referee: KindReferee, subject: Subject): Promise<unknown> {
  const { kind, cases, base, reads = {}, excused = {} } = referee
  await t.test(`${what}: every option is in a case`, async (t) => {
    const covered = new Set([...cases.map(({ option }) => option), ...Object.keys(reads), ...Object.keys(excused)])
    const missed = subject.options.filter((key) => !covered.has(key))
    t.same(missed, [], 'none is forgotten')
    t.same(
      [...covered].filter((key) => !subject.options.includes(key)),
      [],
      'and there are no others',
    )
    const written = cases.map(({ option }) => option).filter((key) => subject.readOnly.includes(key))
    t.same(written, [], 'what can only be read is not written')
  })
  return t.test(
    `${what}: as iproute2 has it`,
    await needs('namespaces', 'ip', `kind:${kind}`, 'kind:ifb'),
    async (t) => {
      const red = await scratch(t)
      await referee.prepare?.(red)
      await readPlain(t, red, subject, base, reads)
      for (const one of cases) {
        const requirement = await needs(...(one.needs === undefined ? [] : [one.needs]))
        await t.test(one.option, { ...requirement }, (t) => refereeCase(t, red, subject, base, one))
      }
    },
  )
}

/** A link that is made plainly by either reads the same to both. */
async function readPlain(
  t: Test,
  namespace: Namespace,
  subject: Subject,
  base: Said | undefined,
  reads: Readonly<Record<string, (data: Json) => unknown>>,
): Promise<void> {
  await subject.makeByIp(namespace, 'plain', base?.words ?? [])
  const link = await namespace.links.get('plain')
  const { json, data } = await byIp(namespace, 'plain', subject)
  for (const [option, read] of Object.entries(reads)) {
    t.strictSame(subject.read(link)[option], read(data), `${option} of a link that is made plainly`)
  }
  const unknown = Object.keys(subject.read(link)).filter((key) => key.startsWith('#'))
  if (unknown.length > 0) t.comment(`this kernel tells of attributes that have no name yet: ${unknown}`)
  t.equal(json.ifindex, link.index)
  await link.delete()
}

async function byIp(namespace: Namespace, name: string, subject: Subject): Promise<{ json: Json; data: Json }> {
  const [json] = await ip(namespace, 'link', 'show', 'dev', name)
  return { json, data: subject.shown(json) }
}

async function refereeCase(
  t: Test,
  namespace: Namespace,
  subject: Subject,
  base: Said | undefined,
  one: KindCase,
): Promise<void> {
  const { option, value, words, shown, change = true } = one
  const wanted = 'read' in one ? one.read : value
  const others = { ...base?.options, ...one.with?.options }
  const otherWords = [...(base?.words ?? []), ...(one.with?.words ?? [])]
  const options = { ...others, [option]: value }
  const known = (link: Link) => ({ [option]: subject.read(link)[option] })

  if (change !== 'only') {
    const made = await subject.make(namespace, 'made', options)
    t.match(known(made), { [option]: wanted }, 'made by netkit, it says so')
    await seen(t, namespace, subject, 'made', shown, 'and iproute2 shows it')
    const changes = await changesDuring(async () => {
      t.same((await subject.ensure(namespace, 'made', options)).changes, [], 'ensure finds it as asked')
    })
    t.same(changes, [], 'and touches nothing')
    await made.delete()
  }
  if (change !== false) {
    const link = await subject.make(namespace, 'set', others)
    if (option in others) t.fail(`${option} is among what every link is made with`)
    const before = subject.read(link)[option]
    t.not(JSON.stringify(before), JSON.stringify(wanted), 'it is not so by itself')
    await subject.change(link, { [option]: value })
    t.match(known(link), { [option]: wanted }, 'changed by netkit, it says so')
    await seen(t, namespace, subject, 'set', shown, 'and iproute2 shows it')
    await link.delete()
  }
  if (words === undefined) return
  if (change === 'only') return
  await subject.makeByIp(namespace, 'theirs', [...otherWords, ...words])
  const theirs = await namespace.links.get('theirs')
  t.match(known(theirs), { [option]: wanted }, 'made by iproute2, netkit reads it')
  t.same((await subject.ensure(namespace, 'theirs', options)).changes, [], 'and ensure finds it as asked')
  await theirs.delete()
}

async function seen(
  t: Test,
  namespace: Namespace,
  subject: Subject,
  name: string,
  shown: KindCase['shown'],
  what: string,
): Promise<void> {
  if (shown === undefined) return
  const { data } = await byIp(namespace, name, subject)
  t.strictSame(data[shown[0]], shown[1], what)
}
