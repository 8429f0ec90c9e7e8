/** The fuzzer (scripts/fuzz.mjs): every definition has a target, a bounded number of runs finds nothing, and a planted mistake is found. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import tap, { test } from 'tap'
import { allDefinitions } from '../dist/netlink/message.js'
import type { FuzzTarget } from './fuzz/target.js'
import { packageFolder } from './support/program.js'
import '../dist/index.js'

// On a machine that has much else to do, what takes 10 s takes minutes.
tap.setTimeout(240_000)

const folder = join(packageFolder, '.test-build/fuzz')

function fuzz(...args: string[]): { status: number | null; output: string } {
  const script = join(packageFolder, 'scripts/fuzz.mjs')
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    timeout: 150_000,
  })
  return { status, output: `${stdout}${stderr}` }
}

test('every definition has a target', async (t) => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.js'))
  const targets: FuzzTarget[] = []
  for (const name of files) targets.push(...((await import(pathToFileURL(join(folder, name)).href)).targets ?? []))
  t.same([...new Set(targets.map(({ name }) => name))].length, targets.length, 'names are given once')
  const fuzzed = new Set(targets.map(({ definition }) => definition))
  for (const definition of allDefinitions) {
    // One without attributes has nothing that could be decoded wrongly.
    const [first] = definition.table.attributes
    if (first === undefined) continue
    const name = `struct ${definition.header.name} with ${first.name} …`
    t.ok(fuzzed.has(definition), `${name} has a target: export messageTarget(…) from a file in test/fuzz/`)
  }
})

test('a bounded number of runs finds nothing', (t) => {
  const { status, output } = fuzz('--runs=600', '--seed=1')
  t.equal(status, 0, output)
  t.match(output, /(\d+) of \1 targets passed/)
  t.end()
})

test('a planted mistake is found', (t) => {
  const { status, output } = fuzz('--planted', '--runs=500000', '--seed=3')
  t.equal(status, 1)
  t.match(output, /FAILED {2}planted fails after \d+ runs: RangeError: the planted mistake/)
  t.match(output, /\n {8}\d+ bytes, in \.fuzz\/planted-\d+\.hex: [0-9a-f]*20000200a7/, 'with the input that fails')
  t.end()
})
