/**
 * `npm test [-- NAME… --jobs=N --tap --retry]`: builds what is not built, then runs the test files, each in a process and (where the
 * kernel allows it) in network, mount and user namespaces of its own. The last line counts the tests.
 *
 * What came out stays in .test-build/results/NAME.json, for `npm run test:kernels`, which calls this in its guests with --no-build,
 * --results=FILE (one line of JSON for each file) and --start-within=SECONDS (after which no file is begun).
 *
 * With --retry, a file that failed is run once more at the end, alone: what fails again has failed, and what passes is named, as its
 * test or the code has a race that a busy machine shows.
 *
 * The files are tap files, and each runs directly under Node; tap's own runner would put all of them into one namespace, and waits for ever for
 * a process that a test left behind.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { release } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { buildDemo, buildLib, buildNative, buildTest } from './build.mjs'
import { advice, chooseIsolation, prefix } from './isolate.mjs'
import { fail, filesIn, root } from './tools.mjs'

const folder = join(root, '.test-build')
const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'))
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const jobs = Number(flags.find((flag) => flag.startsWith('--jobs='))?.slice(7) ?? 2)
const showTap = flags.includes('--tap')
const startWithin = Number(flags.find((flag) => flag.startsWith('--start-within='))?.slice(15) ?? Infinity)
const resultsFile = flags.find((flag) => flag.startsWith('--results='))?.slice(10)
// test:kernels thinks them good in its guests.
const nodeFlags = (process.env.NETKIT_TEST_FLAGS ?? '').split(' ').filter(Boolean)
const isKnown = (flag) =>
  ['--tap', '--no-build', '--retry'].includes(flag) || /^--(jobs|results|start-within)=/.test(flag)
if (!(jobs >= 1) || !flags.every(isKnown)) fail('usage: npm test [-- NAME… --jobs=N --tap --retry]')

const nameOf = (file) => relative(folder, file).replace(/\.test\.js$/, '')

function chooseFiles() {
  const all = filesIn(folder, (file) => file.endsWith('.test.js'))
  if (names.length === 0) return all
  return names.flatMap((name) => {
    const short = name.replace(/^(\.\/)?(test|\.test-build)\//, '').replace(/(\.test)?(\.[jt]s)?$/, '')
    const found = all.filter((file) => nameOf(file) === short)
    if (found.length === 0) fail(`no test file ${name}; there are: ${all.map(nameOf).join(', ')}`)
    return found
  })
}

const running = new Set()

function runFile(file, kind) {
  return new Promise((resolve) => {
    const start = performance.now()
    const script = join(root, 'scripts/test-file.mjs')
    const [program, ...args] = [...prefix(kind), process.execPath, ...nodeFlags, script, file, kind]
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] })
    running.add(child)
    const chunks = []
    child.stdio[3].on('data', (chunk) => chunks.push(chunk))
    child.on('error', () => {})
    child.on('close', (code, signal) => {
      running.delete(child)
      let result
      try {
        result = JSON.parse(Buffer.concat(chunks).toString())
      } catch {
        const failures = [{ name: `the file was not run to its end (${signal ?? `exit code ${code}`})`, details: '' }]
        result = { passed: 0, failed: 1, skipped: 0, failures, skips: [], passes: [], stderr: '', raw: '' }
      }
      resolve({ ...result, name: nameOf(file), seconds: (performance.now() - start) / 1000 })
    })
  })
}

function words({ passed, failed, skipped }) {
  const parts = [
    passed > 0 && `${passed} passed`,
    failed > 0 && `${failed} failed`,
    skipped > 0 && `${skipped} skipped`,
  ]
  return parts.filter(Boolean).join(', ')
}

function report(result) {
  const state = result.failed > 0 ? 'FAILED' : result.passed > 0 ? 'ok' : 'skipped'
  console.log(`${state.padEnd(8)}${result.name.padEnd(28)} ${words(result)} (${result.seconds.toFixed(1)} s)`)
  for (const { name, reason } of result.skips) console.log(`    skipped: ${name}${reason ? ` (${reason})` : ''}`)
  for (const { name, details } of result.failures) {
    console.log(`    FAILED: ${name}`)
    if (details) console.log(details.replace(/^/gm, '        '))
  }
  if (showTap) console.log(result.raw.trimEnd().replace(/^/gm, '    | '))
  if (result.stderr) console.log(result.stderr.trimEnd().replace(/^/gm, '    stderr: '))
}

/** For those who ask later what this kernel ran. */
function keep({ name, passed, failed, skipped, seconds, skips, passes, failures }) {
  const failedTests = failures.map((failure) => failure.name)
  const text = JSON.stringify({ name, kernel: release(), passed, failed, skipped, seconds, skips, passes, failedTests })
  if (resultsDescriptor !== undefined) {
    writeSync(resultsDescriptor, `${text}\n`)
    return
  }
  const file = join(folder, 'results', `${name}.json`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

if (!flags.includes('--no-build')) {
  buildNative()
  buildLib()
  buildTest()
  buildDemo()
}
const resultsDescriptor = resultsFile === undefined ? undefined : openSync(resultsFile, 'w')
const files = chooseFiles()
if (files.length === 0) fail('there are no test files')

const { kind, reason } = chooseIsolation()
if (kind === 'none') {
  console.log(`This user may not create network namespaces (${reason}): the tests that need one skip themselves.`)
  console.log(
    `What helps:\n${advice()
      .map((line) => `  - ${line}`)
      .join('\n')}`,
  )
} else {
  const where = kind === 'root' ? 'network and mount namespaces' : 'user, network and mount namespaces'
  console.log(`${files.length} test files, each in ${where} of its own, ${jobs} at a time`)
}

let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = true
    for (const child of running) child.kill('SIGTERM')
  })
}

const results = new Map()
const late = []
const queue = [...files]
async function work() {
  for (let file = queue.shift(); file && !interrupted; file = queue.shift()) {
    if (performance.now() > startWithin * 1000) {
      late.push(nameOf(file))
      continue
    }
    const result = await runFile(file, kind)
    results.set(file, result)
    report(result)
    keep(result)
  }
}
await Promise.all(Array.from({ length: jobs }, work))

const unsteady = []
if (flags.includes('--retry')) {
  for (const [file, { failed, name }] of results) {
    if (failed === 0 || interrupted || performance.now() > startWithin * 1000) continue
    console.log(`once more: ${name}`)
    const again = await runFile(file, kind)
    report(again)
    if (again.failed > 0) continue
    results.set(file, again)
    keep(again)
    unsteady.push(name)
  }
}
const total = { passed: 0, failed: 0, skipped: 0 }
for (const result of results.values()) {
  for (const key of Object.keys(total)) total[key] += result[key]
}
const failedFiles = [...results.values()].filter(({ failed }) => failed > 0).map(({ name }) => name)
if (resultsDescriptor !== undefined) closeSync(resultsDescriptor)

if (interrupted) console.log('interrupted')
if (late.length > 0) console.log(`SKIPPED for want of time: ${late.join(', ')}`)
if (unsteady.length > 0) console.log(`passed at the second try only: ${unsteady.join(', ')}`)
if (failedFiles.length > 0) console.log(`failed: ${failedFiles.join(', ')}`)
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exit(interrupted ? 130 : total.failed > 0 || total.passed + total.skipped === 0 ? 1 : 0)
