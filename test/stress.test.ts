/**
 * Writers in threads of their own on one namespace, while another process makes and deletes links in it: for 3 s, or for 60 s with
 * NETKIT_TEST_LONG=1. Nothing is lost or answered twice, and in the end there is what was asked for.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'
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

t.test('many writers, and links that come and go', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const ended = new AbortController()
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
