/**
 * Writers in threads of their own on one namespace, while another process makes and deletes links in it: for 3 s, or for 60 s with
 * NETKIT_TEST_LONG=1. Nothing is lost or answered twice, and in the end there is what was asked for; a store and three watchers, one
 * of them slow, know it.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { Namespace, Watch } from '../dist/index.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'
import { storeEqualsLists } from './support/store.js'
import { tableOf, type WriterReport, type WriterTask } from './support/stress-writer.js'

const seconds = process.env.NETKIT_TEST_LONG === '1' ? 60 : 3
const writers = 8
t.setTimeout((seconds + 57) * 1000 * Number(process.env.NETKIT_TEST_SLOWNESS ?? 1))

async function runWriter(task: WriterTask): Promise<WriterReport> {
  const worker = new Worker(new URL('./support/stress-writer.js', import.meta.url), { workerData: task })
  const [report] = await once(worker, 'message')
  await once(worker, 'exit')
  return report
}

/** Makes and deletes links with `ip -batch`, until the signal. Gives how many there were. */
async function churn(namespace: Namespace, signal: AbortSignal): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-stress-'))
  try {
    const names = Array.from({ length: 20 }, (_, i) => `churn${i}`)
    const lines = names.flatMap((name) => [`link add ${name} type veth peer name ${name}p`, `link delete ${name}`])
    writeFileSync(join(folder, 'batch'), `${lines.join('\n')}\n`)
    let count = 0
    while (!signal.aborted) {
      await namespace.exec('ip', ['-batch', join(folder, 'batch')], { check: true })
      count += names.length
    }
    return count
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Applies every event of a watch to what is known, as a consumer does that is never to be wrong: the links by index, the routes. */
async function follow(watch: Watch, known: Set<string>, pause: number): Promise<void> {
  let count = 0
  for await (const event of watch) {
    if (pause > 0 && ++count % 10 === 0) await delay(pause)
    if (event.type === 'resync' || event.type === 'changed') continue
    const row = event.object === 'link' ? `link ${event.link.index} ` : ''
    const text = event.object === 'route' ? `route ${event.route.to} ${event.route.table} ${event.route.index}` : row
    if (text === '') continue
    if (event.type === 'added') known.add(text)
    else known.delete(text)
  }
}

async function whatIsThere(namespace: Namespace, routes: boolean): Promise<string[]> {
  const links = (await namespace.links.list()).map(({ index }) => `link ${index} `)
  const all = routes ? await namespace.routes.list({ table: 'all', family: 'inet' }) : []
  return [...links, ...all.map(({ to, table, index }) => `route ${to} ${table} ${index}`)].sort()
}

t.test('many writers, and links that come and go', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const ended = new AbortController()
  await using store = await red.store()
  const watchers = [
    { watch: red.watch({ links: true, routes: true, initial: true }), routes: true, pause: 0 },
    { watch: red.watch({ links: true, initial: true }), routes: false, pause: 0 },
    { watch: red.watch({ links: true, routes: true, initial: true, limit: 50 }), routes: true, pause: 5 },
  ].map((watcher) => ({ ...watcher, known: new Set<string>() }))
  const following = watchers.map(({ watch, known, pause }) => follow(watch, known, pause))
  const path = `/proc/${process.pid}/fd/${red.fd}`
  const tasks = Array.from({ length: writers }, (_, i) => ({ number: i + 1, path, milliseconds: seconds * 1000 }))
  const [reports, churned] = await Promise.all([
    Promise.all(tasks.map(runWriter)).finally(() => ended.abort()),
    churn(red, ended.signal),
  ])
  t.comment(`${reports.reduce((sum, { sent }) => sum + sent, 0)} requests, and ${churned} links`)
  t.ok(churned > 0)

  for (const [i, report] of reports.entries()) {
    t.same(report.wrong, [], `writer ${i + 1}: each request has its own outcome`)
    t.ok(report.asked > 0, `writer ${i + 1} asked`)
    t.equal(report.settled, report.asked, `writer ${i + 1}: each promise was settled`)
    t.equal(report.ended, report.sent, `writer ${i + 1}: each request ended`)
  }

  let difference: string | undefined
  await eventually(async () => {
    difference = await storeEqualsLists(store, red)
    return difference === undefined
  }, 30_000)
  t.equal(difference, undefined, 'the store is what fresh lists say')
  for (const [i, { watch, known, routes }] of watchers.entries()) {
    const relevant = () => [...known].filter((text) => text.startsWith('link') || !text.includes(':')).sort()
    const truth = await whatIsThere(red, routes)
    await eventually(() => relevant().join() === truth.join(), 30_000)
    t.same(relevant(), truth, `watcher ${i + 1} was never wrong for good`)
    await watch.close()
  }
  await Promise.all(following)

  const links: { ifname: string; addr_info: { family: string; local: string; prefixlen: number }[] }[] = await ip(
    red,
    'address',
    'show',
  )
  const wanted = reports.flatMap((report) => report.links)
  t.same(links.map(({ ifname }) => ifname).sort(), ['lo', ...wanted].sort(), 'the links')
  const addresses = links
    .filter(({ ifname }) => ifname !== 'lo')
    .flatMap(({ addr_info }) => addr_info)
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
  t.same(addresses.sort(), reports.flatMap((report) => report.addresses).sort(), 'the addresses')
  for (const [i, report] of reports.entries()) {
    const routes = report.routes.length === 0 ? [] : await ip(red, 'route', 'show', 'table', `${tableOf(i + 1)}`)
    const found = routes.map(({ dst }: { dst: string }) => dst).sort()
    t.same(found, report.routes.sort(), `the routes of writer ${i + 1}`)
  }
})
