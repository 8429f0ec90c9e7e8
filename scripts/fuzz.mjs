/**
 * `npm run fuzz [-- TARGET… --runs=N --seconds=S --seed=N --list]`: feeds the decoders with what becomes of captured messages when
 * they are spoilt, led by coverage. The targets are what test/fuzz/*.ts export as `targets`. Each target gets N runs or S seconds
 * (10 when neither is given). An input that fails is written to .fuzz/, shortened, and said as a line for test/fuzz/corpus/.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { register } from 'node:module'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildLib, buildNative, buildTest } from './build.mjs'
import { Coverage } from './coverage.mjs'
import { Finding, fuzz } from './fuzz-engine.mjs'
import { fail, filesIn, root } from './tools.mjs'

const flags = new Map()
const names = []
for (const argument of process.argv.slice(2)) {
  const [, name, value] = /^--(runs|seconds|seed|list|planted)(?:=(\d+))?$/.exec(argument) ?? []
  if (name !== undefined) flags.set(name, value === undefined ? true : Number(value))
  else if (argument.startsWith('--')) fail('usage: npm run fuzz -- [TARGET… --runs=N --seconds=S --seed=N --list]')
  else names.push(argument)
}

buildNative()
buildLib()
buildTest()

const coverage = new Coverage()
globalThis.netkitCoverage = coverage
const pattern =
  '/dist/(netlink|rtnetlink|values|packets|capture|pump|sockets)/.*\\.js$|/\\.test-build/fuzz/planted/.*\\.js$'
register('./instrument.mjs', { parentURL: import.meta.url, data: { pattern } })

const folder = join(root, '.test-build/fuzz', flags.has('planted') ? 'planted' : '')
const files = filesIn(folder, (file) => file.endsWith('.js') && (flags.has('planted') || !file.includes('/planted/')))
// Before anything that loads the addon.
await import(pathToFileURL(join(root, '.test-build/fuzz/front.js')))
const targets = []
for (const file of files) targets.push(...((await import(pathToFileURL(file))).targets ?? []))
const chosen = names.length === 0 ? targets : targets.filter(({ name }) => names.includes(name))
const unknown = names.filter((name) => !targets.some((target) => target.name === name))
if (unknown.length > 0)
  fail(`no target ${unknown.join(', ')}; there are: ${targets.map(({ name }) => name).join(', ')}`)
if (flags.has('list')) {
  console.log(targets.map(({ name }) => name).join('\n'))
  process.exit(0)
}

const seed = flags.get('seed') ?? Date.now() % 0xffff_ffff
const runs = flags.get('runs')
const seconds = flags.get('seconds') ?? (runs === undefined ? 10 : undefined)
console.log(`seed ${seed}`)
let failed = 0
for (const target of chosen) {
  try {
    const result = await fuzz(target, coverage, { runs, seconds, seed })
    const rate = Math.round(result.runs / result.seconds)
    console.log(`ok      ${target.name.padEnd(24)} ${result.runs} runs, ${rate}/s, ${result.kept} inputs kept`)
  } catch (error) {
    if (!(error instanceof Finding)) throw error
    failed++
    const input = await shortened(target, error)
    mkdirSync(join(root, '.fuzz'), { recursive: true })
    const file = join(root, '.fuzz', `${target.name}-${Date.now()}.hex`)
    writeFileSync(file, `${input.toString('hex')}\n`)
    console.log(
      `FAILED  ${error.message}\n        ${input.length} bytes, in ${relative(root, file)}: ${input.toString('hex')}`,
    )
  }
}
const { reached, all } = coverage.reached
console.log(`${chosen.length - failed} of ${chosen.length} targets passed; ${reached} of ${all} branches were reached`)
process.exit(failed > 0 ? 1 : 0)

/** The failing input without what is not needed for the failure: parts are left out as long as the same is thrown. */
async function shortened(target, { input, cause }) {
  const says = async (bytes) => {
    try {
      await target.run(Buffer.from(bytes))
      return false
    } catch (error) {
      return error?.message === cause?.message
    }
  }
  let best = input
  for (let size = best.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < best.length; ) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      if (await says(shorter)) best = shorter
      else at += size
    }
  }
  return best
}
