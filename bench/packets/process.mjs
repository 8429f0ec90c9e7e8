// What a process takes: memory above a Node that does nothing, and how late its event loop is.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { median } from './measure.mjs'

const MIB = 1024 * 1024

/** What a Node takes that has no netkit, in bytes, at rest and busy: medians of three. */
export async function bareMemory(flags = []) {
  const values = []
  for (let i = 0; i < 3; i++) {
    const child = fork(fileURLToPath(new URL('./bare.mjs', import.meta.url)), { execArgv: flags })
    values.push((await once(child, 'message'))[0])
    child.disconnect()
    await once(child, 'exit')
  }
  const middle = (key) => median(values.map((each) => each[key].resident))
  return { rest: middle('rest'), busy: middle('busy') }
}

/** A table of the designs that are processes of netkit's, after all the load that they have had. */
export async function memoryTable(sites, designs) {
  const bare = await bareMemory()
  const shown = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`
  const lines = ['', '| Resident memory | | above bare Node, busy | above bare Node at rest | heap | aim | |']
  lines.push('| --- | --- | --- | --- | --- | --- | --- |')
  lines.push(`| bare Node | ${shown(bare.busy)} busy, ${shown(bare.rest)} at rest | | | | | |`)
  for (const [name, site] of Object.entries(sites)) {
    if (site.ask === undefined) continue
    const { resident, heap } = await site.ask('memory')
    const aim = designs[name].memory
    const reached = resident - bare.busy <= aim * 1e6 ? 'reached' : 'missed'
    const figures = [resident, resident - bare.busy, resident - bare.rest, heap].map(shown).join(' | ')
    lines.push(`| ${designs[name].title} | ${figures} | ${aim === undefined ? ' |' : `≤ ${aim} MB | ${reached}`} |`)
  }
  return lines.join('\n')
}

/** How late the event loop is under a flood of small frames: medians of the rounds' percentiles, in milliseconds. */
export async function latenessTable(sites, designs, { rounds, milliseconds }) {
  const seen = Object.entries(sites).filter(([name]) => designs[name].late !== undefined)
  if (seen.length === 0) return ''
  const lines = [
    '',
    '| The event loop under a flood | p50 | p99 | most | aim (p99) | |',
    '| --- | --- | --- | --- | --- | --- |',
  ]
  for (const [name, site] of seen) {
    const all = []
    for (let round = 0; round < rounds; round++) {
      await site.ask('watch')
      await site.slice('udp', milliseconds)
      all.push(await site.ask('lateness'))
    }
    const [p50, p99, most] = ['p50', 'p99', 'most'].map((key) => median(all.map((each) => each[key])))
    const aim = designs[name].late
    lines.push(
      `| ${designs[name].title} | ${[p50, p99, most].map((value) => `${value.toFixed(2)} ms`).join(' | ')} | ≤ ${aim} ms | ${p99 <= aim ? 'reached' : 'missed'} |`,
    )
  }
  return lines.join('\n')
}
