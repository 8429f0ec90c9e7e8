// What a process takes: memory above a Node that does nothing, and how late its event loop is.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { median } from './measure.mjs'

const MIB = 1024 * 1024

/** What a Node of this bench takes that does nothing, in bytes: the median of three. */
export async function bareMemory(flags = []) {
  const values = []
  for (let i = 0; i < 3; i++) {
    const child = fork(fileURLToPath(new URL('./bare.mjs', import.meta.url)), { execArgv: flags })
    await once(child, 'message')
    child.send('memory')
    const [memory] = await once(child, 'message')
    values.push(memory)
    child.disconnect()
    await once(child, 'exit')
  }
  const middle = (key) => median(values.map((each) => each[key]))
  return { resident: middle('resident'), own: middle('own') }
}

/** A table of the designs that are processes of netkit's, after all the load that they have had. */
export async function memoryTable(sites, designs) {
  const bare = await bareMemory()
  const shown = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`
  const lines = [
    '',
    `| Memory (bare Node: ${shown(bare.resident)}, ${shown(bare.own)}) | resident, above bare Node | without program files | heap | aim | |`,
  ]
  lines.push('| --- | --- | --- | --- | --- | --- |')
  for (const [name, site] of Object.entries(sites)) {
    if (site.ask === undefined) continue
    const { resident, own, heap } = await site.ask('memory')
    const aim = designs[name].memory
    const reached = resident - bare.resident <= aim * 1e6 ? 'reached' : 'missed'
    const figures = [resident - bare.resident, own - bare.own, heap].map(shown).join(' | ')
    lines.push(`| ${designs[name].title} | ${figures} | ${aim === undefined ? '| ' : `≤ ${aim} MB | ${reached}`} |`)
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
