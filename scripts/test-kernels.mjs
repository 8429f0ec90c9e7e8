/**
 * `npm run test:kernels [-- --kernel=6.1|6.12 --jobs=N --seconds=N NAME…]`: test files under Debian's kernels in QEMU, as root, on this
 * machine's tree (kernels/guest.mjs). Without names, the files that ask for something of the kernel.
 * `npm run test:kernels -- [--kernel=…] --exec 'COMMANDS'`: shell commands there instead, with their exit code.
 *
 * Where there is no guest to be had it says why, and ends with 0.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { buildDemo, buildLib, buildNative, buildTest } from './build.mjs'
import { runInGuest } from './kernels/guest.mjs'
import { quoted } from './kernels/initramfs.mjs'
import { checkTools, kernelOf, series, Unavailable } from './kernels/kernel.mjs'
import { parseResults, resultHere, table } from './kernels/report.mjs'
import { fail, filesIn, root } from './tools.mjs'

/** Seconds for one guest with all its tests, and files at a time in it. */
const defaults = { seconds: '600', jobs: '1' }
/**
 * How much longer a guest takes than this machine, and flags for the test files' node: QEMU is quicker at interpreting an interpreter
 * than at translating what a compiler keeps making. Reading the source maps of all modules would be a quarter of a file's time; tap
 * reads those that a failure needs.
 */
const inGuest = { NETKIT_TEST_SLOWNESS: '4', NETKIT_TEST_FLAGS: '--jitless --no-expose-wasm --no-enable-source-maps' }

const usage = "usage: npm run test:kernels [-- --kernel=6.1|6.12 --jobs=N --seconds=N NAME… | --exec 'COMMANDS']"
const options = { kernel: Object.keys(series).join(), exec: undefined, ...defaults }
const names = []
for (let args = process.argv.slice(2), i = 0; i < args.length; i++) {
  const [, key, , value] = /^--(\w+)(=(.*))?$/s.exec(args[i]) ?? []
  if (key === undefined) names.push(args[i])
  else if (!(key in options)) fail(usage)
  else options[key] = value ?? args[++i] ?? fail(usage)
}
const wanted = options.kernel.split(',')
if (!wanted.every((name) => name in series) || !(Number(options.seconds) > 0)) fail(usage)

/** A requirement on the kernel in a call of needs(): a word and a parameter, as in 'kind:vlan'. */
const requirement = /['"`](kind|kernel|qdisc|class|filter|action|bridge|encap|option)[a-z-]*:/

/** How many tests of a file were skipped for want of something of the kernel when it last ran here. */
function missedHere(name) {
  return (resultHere(name)?.skips ?? []).filter(({ reason }) => reason.startsWith('this kernel')).length
}

/** Whether a file asks something of the kernel, itself or through what it imports of test/support/. */
function asks(file) {
  const text = readFileSync(file, 'utf8')
  const helpers = [...text.matchAll(/from ["'](\.\/support\/(?!needs\.)[\w-]+\.js)["']/g)].map(([, path]) =>
    join(dirname(file), path),
  )
  return [text, ...helpers.map((helper) => readFileSync(helper, 'utf8'))].some((part) => requirement.test(part))
}

/** The files that ask something of the kernel, or that lacked it here; those that lacked most first. */
function chooseNames() {
  const folder = join(root, '.test-build')
  const nameOf = (file) => relative(folder, file).replace(/\.test\.js$/, '')
  return filesIn(folder, (file) => file.endsWith('.test.js'))
    .filter((file) => asks(file) || missedHere(nameOf(file)) > 0)
    .map(nameOf)
    .sort((a, b) => missedHere(b) - missedHere(a))
}

/** The name of a test file, however it was given: 'test/bridge.test.ts', 'bridge'. */
const shortName = (name) => name.replace(/^(\.\/)?(test|\.test-build)\//, '').replace(/(\.test)?(\.[jt]s)?$/, '')
const prefixOf = (kernel) => `${kernel.series.padEnd(5)} `

/** Writes a guest's text as it comes, each line behind the prefix; a line's end may be under way. */
function printer(prefix) {
  let rest = ''
  const print = (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    for (const line of lines) console.log(`${prefix}${line}`)
  }
  return { print, end: () => rest !== '' && print('\n') }
}

const controller = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => controller.abort())

/** In the guest: from this folder, with this process's PATH. */
function commandFor(text) {
  const passed = Object.entries(process.env).filter(([key]) => /^(PATH|HOME|LANG|CI|NETKIT_TEST_.*)$/.test(key))
  const environment = { HOME: '/root', ...Object.fromEntries(passed), ...inGuest }
  const exports = Object.entries(environment).map(([key, value]) => `export ${key}=${quoted(value)}\n`)
  return `${exports.join('')}cd ${quoted(root)}\n${text}\n`
}

async function run(kernel, text, prefix) {
  const { print, end } = printer(prefix)
  const onWait = () => console.log(`${prefix}waiting: other guests are running`)
  const seconds = Number(options.seconds)
  const done = await runInGuest(kernel, commandFor(text), {
    onOutput: print,
    onWait,
    signal: controller.signal,
    seconds,
  })
  end()
  if (done.problem !== undefined) console.log(done.problem.replace(/^/gm, `${prefix}guest: `))
  return done
}

function kernelsWanted() {
  const kernels = []
  try {
    checkTools()
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    console.log(`SKIPPED: nothing was run under other kernels: ${error.message}`)
    return kernels
  }
  for (const name of wanted) {
    try {
      kernels.push(kernelOf(name))
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      console.log(`SKIPPED: nothing was run under Linux ${name}: ${error.message}`)
    }
  }
  return kernels
}

const kernels = kernelsWanted()
if (kernels.length === 0) process.exit(0)

if (options.exec !== undefined) {
  const runs = kernels.map((kernel) => run(kernel, options.exec, kernels.length > 1 ? prefixOf(kernel) : ''))
  const codes = (await Promise.all(runs)).map(({ exitCode }) => exitCode ?? 125)
  process.exit(Math.max(...codes))
}

buildNative()
buildLib()
buildTest()
buildDemo()
const files = names.length > 0 ? names.map(shortName) : chooseNames()
if (files.length === 0) fail('no test file asks for anything of the kernel')
// A file that hangs is a failure; files that there was no time for are not: what is begun late could not end.
const startWithin = Math.floor(Number(options.seconds) * 0.75)
const flags = `--no-build --retry --jobs=${quoted(options.jobs)} --start-within=${startWithin} --results="$NETKIT_RESULTS"`
const command = `node scripts/test.mjs ${flags} ${files.map(quoted).join(' ')}`
console.log(
  `${files.length} test files under ${kernels.map(({ release }) => `Linux ${release}`).join(' and ')}, in QEMU`,
)

// One guest a kernel, all at the same time: a guest uses one processor.
const columns = await Promise.all(
  kernels.map(async (kernel) => {
    const start = performance.now()
    const { exitCode, results } = await run(kernel, command, prefixOf(kernel))
    const ended = parseResults(results)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    console.log(`${prefixOf(kernel)}${ended.length} of ${files.length} files were run, in ${seconds} s`)
    return { title: kernel.release, results: ended, failed: exitCode !== 0 }
  }),
)

console.log(`\n${table(files, columns)}`)
const failed = columns.filter((column) => column.failed).map(({ title }) => title)
if (failed.length > 0) console.log(`\nfailed under: ${failed.join(', ')}`)
process.exit(controller.signal.aborted ? 130 : failed.length > 0 ? 1 : 0)
