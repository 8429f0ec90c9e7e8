/**
 * Runs one test file and watches over it; test.mjs starts this once a file, inside the file's own namespaces.
 * `node test-file.mjs FILE KIND` writes one JSON object to descriptor 3: the counts of tap-counts.mjs, and `stderr`.
 *
 * It sees what tap inside the file cannot: that the process crashed, that it never ended, and what it left behind.
 */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { createCounter } from './tap-counts.mjs'
import { root } from './tools.mjs'

/** How many times slower than usual this machine is: test:kernels says so in its guests. */
const slowness = Number(process.env.NETKIT_TEST_SLOWNESS ?? 1)
/** Seconds for a whole file, unless it calls t.setTimeout() at its top level. */
const fileTimeout = 120 * slowness
/** Milliseconds without a word from the file, after which it is ended by force. */
const silenceLimit = 300_000
/** Milliseconds from the last result to the end of the process. tap itself ends one with a leaked handle after 10 s. */
const exitLimit = 15_000 * slowness
/** Milliseconds that processes and devices get to go away after the end of the file. */
const grace = 2_000 * slowness

const [, , file, kind] = process.argv
const marker = `NETKIT_TEST_RUN=${process.pid}-${Date.now()}`
const namespaces = ['mnt', 'net']
const own = namespaces.map((type) => (kind === 'none' ? undefined : readlinkSync(`/proc/self/ns/${type}`)))

/** Processes that descend from the test file: they carry its environment, or live in one of its namespaces. */
function processes() {
  const found = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      const isOurs =
        readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(marker) ||
        namespaces.some((type, i) => readlinkSync(`/proc/${pid}/ns/${type}`) === own[i])
      // A zombie has no command line: it has ended, and waits for its parent to notice.
      if (isOurs && command !== '') found.push({ pid: Number(pid), command })
    } catch {
      // Not ours to look into, or gone meanwhile.
    }
  }
  return found
}

function named() {
  try {
    return kind === 'none' ? [] : readdirSync('/run/netns')
  } catch {
    return []
  }
}

function devices() {
  if (kind === 'none') return []
  const lines = readFileSync('/proc/thread-self/net/dev', 'utf8').split('\n').slice(2)
  return lines.map((line) => line.split(':')[0].trim()).filter((name) => name !== '')
}

function leftovers(before) {
  const links = devices().filter((name) => !before.includes(name))
  return [
    ...processes().map(({ pid, command }) => `process ${pid}: ${command}`),
    ...named().map((name) => `named namespace ${name}`),
    ...links.map((name) => `network device ${name}`),
  ]
}

function killLeftovers() {
  for (const { pid } of processes()) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {}
  }
}

const before = devices()
const counter = createCounter()
// Flags of node that test:kernels thinks good in its guests.
const flags = (process.env.NETKIT_TEST_FLAGS ?? '').split(' ').filter(Boolean)
const child = spawn(process.execPath, ['--enable-source-maps', ...flags, file], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'pipe'],
  env: {
    ...process.env,
    TAP: '1',
    TAP_TIMEOUT: String(fileTimeout),
    NETKIT_TEST_ISOLATION: kind,
    [marker.split('=')[0]]: marker.split('=')[1],
  },
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    child.kill('SIGKILL')
    killLeftovers()
    process.exit(1)
  })
}

let killed
let timer
function limit(milliseconds, why) {
  clearTimeout(timer)
  timer = setTimeout(() => {
    killed = why
    child.kill('SIGKILL')
  }, milliseconds)
}

let raw = ''
let stderr = ''
limit(silenceLimit, `no output for ${silenceLimit / 1000} s`)
child.stdout.setEncoding('utf8').on('data', (chunk) => {
  raw += chunk
  counter.write(chunk)
  if (counter.done()) limit(exitLimit, `still running ${exitLimit / 1000} s after its last test`)
  else limit(silenceLimit, `no output for ${silenceLimit / 1000} s`)
})
child.stderr.setEncoding('utf8').on('data', (chunk) => {
  stderr += chunk
})

const [code, signal] = await new Promise((resolve) => {
  child.on('exit', (code, signal) => resolve([code, signal]))
  child.on('error', (error) => resolve([error.message, null]))
})
clearTimeout(timer)
// What the file wrote is still in the pipe; a process that it left behind may hold the pipe open for ever.
await Promise.race([
  Promise.all([child.stdout, child.stderr].map((stream) => stream.closed || new Promise((r) => stream.on('close', r)))),
  delay(500),
])

const result = counter.end()
const add = (name, details) => {
  result.failed++
  result.failures.push({ name, details })
}
const why = killed
  ? `ended by force: ${killed}`
  : signal
    ? `ended by ${signal}`
    : code !== 0
      ? `ended with exit code ${code}`
      : ''
// tap ends a file that timed out with SIGALRM, and one with failed tests with exit code 1: those are counted already.
const isCounted = result.failed > 0 && (signal === 'SIGALRM' || !(killed || signal))
if (why && result.unfinished) result.unfinished.name += ` (${why})`
else if (why && !isCounted) add(why, '')

const deadline = Date.now() + grace
let left = leftovers(before)
while (left.length > 0 && Date.now() < deadline) {
  await delay(50)
  left = leftovers(before)
}
if (left.length > 0) {
  add('left behind', left.join('\n'))
  killLeftovers()
}

const json = Buffer.from(JSON.stringify({ ...result, stderr, raw }))
for (let sent = 0; sent < json.length; ) sent += writeSync(3, json, sent)
// Pipes that a killed process held may still be open.
process.exit(0)
