/**
 * `npm run test:kernels [-- --kernel=6.1|6.12 --jobs=N --seconds=N NAME…]`: test files under Debian's kernels in QEMU, as root, on this
 * machine's tree (kernels/guest.mjs). Without names, the files that ask for something of the kernel.
 * `npm run test:kernels -- [--kernel=…] --exec 'COMMANDS'`: shell commands there instead, with their exit code.
 *
 * Where there is no guest to be had it says why, and ends with 0.
 */
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { buildDemo, buildLib, buildNative, buildTest } from './build.mjs'
import { runInGuest } from './kernels/guest.mjs'
import { quoted } from './kernels/initramfs.mjs'
import { checkTools, kernelOf, series, Unavailable } from './kernels/kernel.mjs'
import { parseResults, resultHere, table } from './kernels/report.mjs'
import { fail, filesIn, root } from './tools.mjs'

/** Seconds for one guest with all its tests. */
const patience = 180
/** How much longer a guest takes than this machine. */
const slowness = 4

const usage = "usage: npm run test:kernels [-- --kernel=6.1|6.12 --jobs=N --seconds=N NAME… | --exec 'COMMANDS']"
const options = { kernel: Object.keys(series).join(), seconds: String(patience), jobs: '1', exec: undefined }
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

/** The files that ask something of the kernel, or in which a test was skipped for want of it when they last ran here. */
function chooseNames() {
  const folder = join(root, '.test-build')
  return filesIn(folder, (file) => file.endsWith('.test.js'))
    .filter((file) => {
      if (requirement.test(readFileSync(file, 'utf8'))) return true
      const skips = resultHere(relative(folder, file).replace(/\.test\.js$/, ''))?.skips ?? []
      return skips.some(({ reason }) => reason.startsWith('this kernel'))
    })
    .map((file) => relative(folder, file).replace(/\.test\.js$/, ''))
}

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
  const environment = { HOME: '/root', ...Object.fromEntries(passed), NETKIT_TEST_SLOWNESS: slowness }
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
  let worst = 0
  for (const kernel of kernels) {
    const prefix = kernels.length > 1 ? `${kernel.series.padEnd(5)} ` : ''
    const { exitCode } = await run(kernel, options.exec, prefix)
    worst = Math.max(worst, exitCode ?? 125)
  }
  process.exit(worst)
}

buildNative()
buildLib()
buildTest()
buildDemo()
const files = names.length > 0 ? names : chooseNames()
if (files.length === 0) fail('no test file asks for anything of the kernel')
const shown = files.map((name) => name.replace(/^(\.\/)?(test|\.test-build)\//, '').replace(/(\.test)?(\.[jt]s)?$/, ''))
const columns = []
const failed = []
for (const kernel of kernels) {
  if (controller.signal.aborted) break
  const start = performance.now()
  const prefix = `${kernel.series.padEnd(5)} `
  console.log(`${prefix}Linux ${kernel.release} in QEMU, ${files.length} test files, at most ${options.seconds} s`)
  const flags = `--no-build --jobs=${quoted(options.jobs)} --results="$NETKIT_RESULTS"`
  const { exitCode, results } = await run(
    kernel,
    `node scripts/test.mjs ${flags} ${files.map(quoted).join(' ')}`,
    prefix,
  )
  if (exitCode !== 0) failed.push(kernel.series)
  columns.push({ title: kernel.release, results: parseResults(results) })
  console.log(`${prefix}done in ${((performance.now() - start) / 1000).toFixed(1)} s`)
}

console.log(`\n${table(shown, columns)}`)
if (failed.length > 0) console.log(`\nfailed under: ${failed.join(', ')}`)
process.exit(controller.signal.aborted ? 130 : failed.length > 0 ? 1 : 0)
