// Large tables: ten thousand links, a million routes, a hundred thousand neighbors, listed and streamed; time, memory, and how long
// the event loop is held up at most. A C program that only receives is the floor.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createNamespace } from '../dist/index.js'
import { programsIn } from './netlink/programs.mjs'

const scaled = fileURLToPath(new URL('netlink/scaled.mjs', import.meta.url))

async function measure(c, what, { pairs = 1, routes = 0, neighbors = 0 }) {
  const namespace = await createNamespace()
  try {
    c.run(namespace, 'setup', pairs)
    if (routes > 0) c.run(namespace, 'add-routes', routes)
    if (neighbors > 0) c.run(namespace, 'add-neighbors', neighbors)
    const floor = c.run(namespace, `dump-${what}`, 1)
    for (const how of ['list', 'stream']) {
      const { stdout } = await namespace.exec(process.execPath, ['--expose-gc', scaled, what, how], { check: true })
      const { rows, took, grown, longest } = JSON.parse(stdout)
      const times = [took, floor].map((time) => `${time.toFixed(0)} ms`)
      console.log(
        `| ${rows.toLocaleString('en')} ${what}, \`${how}\` | ${times.join(' | ')} | ${grown.toFixed(0)} MiB | ${longest.toFixed(1)} ms |`,
      )
    }
  } finally {
    await namespace.delete()
  }
}

/** Options: `links`, `routes`, `neighbors`. */
export async function run({ links = 10_000, routes = 1_000_000, neighbors = 100_000 }) {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-bench-'))
  try {
    const { programs } = programsIn(folder, ['c'])
    console.log('| | netkit | C, receive only | memory | longest turn |\n| --- | --- | --- | --- | --- |')
    await measure(programs.c, 'routes', { routes })
    await measure(programs.c, 'neighbors', { neighbors })
    await measure(programs.c, 'links', { pairs: links / 2 })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
