/** Two ends of a veth pair in one namespace, and tc as the referee of what hangs on them. */
import tap, { type Test } from 'tap'
import { createVeth, type Link, type Namespace, type NewRawFilter } from '../../dist/index.js'
import { rtnetlinkConstants } from '../../dist/rtnetlink/constants.js'
import { needs } from './needs.js'
import { eventsOf } from './netlink.js'
import type { Wrong } from './refused.js'
import { scratch } from './scratch.js'

const { RTNLGRP_TC } = rtnetlinkConstants

// biome-ignore lint/suspicious/noExplicitAny: whatever tc prints
type Json = any

export async function pair(t: Test): Promise<{ red: Namespace; left: Link; right: Link }> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left, right] = await createVeth({ name: 'left', ...up }, { name: 'right', ...up })
  return { red, left, right }
}

/** `tc -j -s …` inside, parsed. */
export async function tc(red: Namespace, ...args: string[]): Promise<Json[]> {
  const { stdout } = await red.exec('tc', ['-j', '-s', ...args], { check: true })
  return stdout.trim() === '' ? [] : JSON.parse(stdout)
}

/** `tc …` inside, for what changes something. */
export async function tcDo(red: Namespace, ...args: string[]): Promise<void> {
  await red.exec('tc', args, { check: true })
}

/** A filter that both make. */
export interface FilterCase {
  kind: string
  protocol?: string
  /** What netkit is told. */
  options?: Record<string, unknown>
  actions?: unknown[]
  classId?: string
  handle?: number | string
  /** What it reads of options and of the first action, where that is otherwise. */
  read?: Record<string, unknown>
  action?: Record<string, unknown>
  /** What tc is told for the same. */
  words: string
  needed?: string[]
}

/** What tc says, without the numbers of actions. */
async function shown(red: Namespace, dev: string): Promise<string[]> {
  const { stdout } = await red.exec('tc', ['-d', 'filter', 'show', 'dev', dev, 'ingress'], { check: true })
  return stdout
    .replace(/index \d+/g, 'index N')
    .replace(/police 0x[0-9a-f]+/g, 'police N')
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .sort()
}

/** Has netkit make a filter and tc the same, and each read both. */
export async function filterTest({
  kind,
  protocol = 'all',
  options,
  actions = [],
  classId,
  handle,
  read,
  action,
  words,
  needed,
}: FilterCase): Promise<void> {
  const kinds = needed ?? actions.map((one) => `action:${typeof one === 'string' ? 'gact' : (one as Wrong).kind}`)
  const skip = await needs('namespaces', 'tc', 'qdisc:clsact', `filter:${kind}`, ...kinds)
  tap.test(`${protocol} ${kind} ${words}`, skip, async (t) => {
    const { red, left, right } = await pair(t)
    await Promise.all([left.qdiscs.add({ kind: 'clsact' }), right.qdiscs.add({ kind: 'clsact' })])
    const filter = {
      kind,
      protocol,
      parent: 'ingress',
      preference: 10,
      handle,
      classId,
      ...options,
      actions,
    } as unknown as NewRawFilter & { preference: number }
    await left.filters.add(filter)
    const tcHandle = handle === undefined ? [] : ['handle', String(handle)]
    const flow =
      classId === undefined
        ? []
        : [kind === 'u32' || kind === 'bpf' || kind === 'basic' ? 'flowid' : 'classid', classId]
    const fw = kind === 'fw' ? ['handle', `${handle}/255`, 'fw'] : [...tcHandle, kind]
    const before = words.indexOf('action')
    const [match, act] = before < 0 ? [words, ''] : [words.slice(0, before), words.slice(before)]
    const split = (text: string) =>
      text
        .split(' ')
        .filter((word) => word !== '')
        .map((word) => word.replaceAll('|', ' '))
    await tcDo(
      red,
      'filter',
      'add',
      'dev',
      'right',
      'ingress',
      'protocol',
      protocol === 'mpls' ? 'mpls_uc' : protocol,
      'pref',
      '10',
      ...fw,
      ...split(match),
      ...flow,
      ...split(act),
    )
    const [ours, theirs] = [await shown(red, 'left'), await shown(red, 'right')]
    t.ok(ours.length >= 2, ours.join('\n'))
    t.same(ours, theirs, 'tc sees no difference to what it made')
    for (const link of [left, right]) {
      const [known = {} as Wrong, ...more] = await link.filters.list({ parent: 'ingress' })
      t.same(more, [])
      t.match(known, { index: link.index, kind, protocol, parent: 'ingress', preference: 10, chain: 0 })
      if (handle !== undefined) t.equal(known.handle, handle)
      t.equal(known.classId, classId)
      for (const [key, value] of Object.entries({ ...options, ...read })) {
        if (value === undefined || key === 'match' || key === 'keys') continue
        t.same(known.options[key], value, `${link.name}: ${key}`)
      }
      t.equal(known.actions.length, actions.length)
      for (const [key, value] of Object.entries(action ?? {})) t.same(known.actions[0].options[key], value, key)
      if (actions.length > 0) t.match(known.actions[0], { index: Number, statistics: { packets: 0, drops: 0 } })
    }
    const events = await eventsOf(t, red, [RTNLGRP_TC])
    t.match(await left.filters.ensure(filter), { changed: false })
    t.match(await right.filters.ensure(filter), { changed: false }, 'what tc has made is as asked')
    t.notOk((await events()).includes('RTM_NEWTFILTER'), 'ensure touches nothing')
    await left.filters.replace(filter)
    t.same(await shown(red, 'left'), theirs, 'the same after a replacement')
    const other = await left.filters.ensure({ ...filter, classId: '1:77' } as typeof filter)
    t.match(other, { changed: true, filter: { classId: '1:77' } })
    t.equal((await left.filters.list({ parent: 'ingress' })).length, 1)
    await left.filters.remove(other.filter as Wrong)
    await t.rejects(left.filters.remove({ parent: 'ingress', preference: 10 }), { code: 'ENOENT' })
    t.same(await left.filters.list(), [])
  })
}
