/** The demonstration: for root and for others, with and without what it can use, and how it ends. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { needs } from './support/needs.js'
import { packageFolder } from './support/program.js'

const main = join(packageFolder, '.demo-build/main.js')
const node = process.execPath
const able = await needs('namespaces', 'unshare')
const users = await needs('namespaces', 'unshare', 'sh', 'setpriv')
const tun = (await needs('tun')).skip === false

// A PATH without ping, and without anything else that is not needed.
const bare = mkdtempSync(join(tmpdir(), 'netkit-demo-'))
t.teardown(() => rmSync(bare, { recursive: true, force: true }))
symlinkSync(node, join(bare, 'node'))

interface Run {
  stdout: string
  stderr: string
  /** The exit code, or the signal. */
  end: number | string | null
}

interface RunOptions {
  env?: NodeJS.ProcessEnv
  /** Send a signal when this was printed. */
  stop?: { after: string; signal: NodeJS.Signals }
}

function run([file = '', ...args]: string[], { env = {}, stop }: RunOptions = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30_000,
    })
    let stdout = ''
    let stderr = ''
    let stopped = false
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text
      if (stop === undefined || stopped || !stdout.includes(stop.after)) return
      stopped = true
      child.kill(stop.signal)
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ stdout, stderr, end: code ?? signal }))
  })
}

const asRootOfUserNamespace = (script: string) => ['unshare', '--user', '--map-root-user', 'sh', '-c', script]
const verdict = (scenes: number) =>
  scenes === 3
    ? /It works: all 10 pairs on the same network reached each other,\nand none of the 32 others did\./
    : /It works: all 8 pairs on the same network reached each other,\nand none of the 12 others did\./

t.test('all of it', { ...able }, async (t) => {
  const before = readlinkSync('/proc/self/ns/net')
  const { stdout, stderr, end } = await run([node, main])
  t.equal(end, 0, stderr)
  t.equal(stderr, '')
  t.match(stdout, verdict(tun ? 3 : 2))
  t.match(stdout, /\bveth0 +10\.0\.1\.1\/24 .*veth.* veth1 +10\.0\.1\.2\/24 /, 'the map has the pair')
  for (const i of [0, 1, 2]) {
    t.match(stdout, new RegExp(`veth${i} +10\\.0\\.2\\.${i + 1}/24 .*veth.* port${i} `), `and port${i} of the bridge`)
  }
  t.match(stdout, /port1 .* br0 /, 'the bridge is at its middle port')
  t.match(stdout, tun ? /tap0 +10\.0\.3\.1\/24 .*descriptor \d+.* 10\.0\.3\.2 / : /skip {2}this scene/)
  t.match(stdout, /veth0 +[1-9]\d* sent +[1-9]\d* received/, 'frames were counted')
  if (tun) t.match(stdout, /ARP request +1 in/, 'the program saw who asked')
  if (tun) {
    t.match(stdout, /net0 to net2: 3 of 3 replies/, 'through the switch')
    t.match(stdout, /capture: [1-9]\d* frames of net0 in \d+ bytes of pcapng/)
    t.match(stdout, /64 MiB from net1 to net2: [\d.]+ Gbit\/s/)
    t.match(stdout, /net2 +[1-9]\d* in +[1-9]\d* out/)
  }
  t.match(stdout, /Cleaned up: all 11 namespaces are gone/)
  t.notOk(stdout.includes('\x1b'), 'no colors where nobody looks')
  t.strictSame(
    stdout.split('\n').filter((line) => line.length > 86),
    [],
    'the lines fit a terminal',
  )
  t.equal(readlinkSync('/proc/self/ns/net'), before)
})

t.test('two at once, without ping', { ...able }, async (t) => {
  const env = { PATH: bare, LC_ALL: 'C' }
  const runs = await Promise.all([run([node, main], { env }), run([node, main], { env })])
  for (const { stdout, stderr, end } of runs) {
    t.equal(end, 0, stderr)
    t.match(stdout, /shown by echoes of UDP datagrams\.\nNot by ping: ping is not installed\./)
    t.match(stdout, verdict(tun ? 3 : 2))
    t.match(stdout, /^[\x20-\x7e\n]*$/, 'nothing but ASCII where the locale has no more')
  }
})

t.test('without /dev/net/tun', await needs('namespaces', 'unshare', 'sh', 'mount'), async (t) => {
  const script = 'mount -t tmpfs tmpfs /dev/net && exec "$@"'
  const { stdout, stderr, end } = await run(
    ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', node, main],
    { env: { PATH: `${process.env.PATH}` } },
  )
  t.equal(end, 0, stderr)
  t.match(stdout, /skip {2}this scene\n +cannot open \/dev\/net\/tun: no such file or directory/)
  t.match(stdout, verdict(2))
  t.match(stdout, /What was skipped, and why, is said above\./)
})

t.test('stopped in the middle', { ...able }, async (t) => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const { stdout, end } = await run([node, main], { stop: { after: '2. Three namespaces', signal } })
    t.equal(end, code, signal)
    t.match(stdout, new RegExp(`Stopped by ${signal}\\.\\nCleaned up: all \\d namespaces are gone`))
    t.notMatch(stdout, /It works/)
  }
})

t.test('as an ordinary user', { ...users }, async (t) => {
  // Root without privileges, but for the one that mapping user 0 into a user namespace takes (user_namespaces(7)).
  const user = ['setpriv', '--bounding-set=-all,+setfcap', '--inh-caps=-all']
  const can = await run([...user, 'unshare', '--user', '--map-root-user', '--net', 'true'])
  if (can.end !== 0) return t.plan(0, `no user namespaces here: ${can.stderr.trim()}`)
  const { stdout, stderr, end } = await run([...user, node, main])
  t.equal(end, 0, stderr)
  t.match(stdout, /^netkit: .*\nRunning as root of a user namespace/)
  t.match(stdout, /It works: /)
  const stopped = await run([...user, node, main], { stop: { after: '2. Three', signal: 'SIGTERM' } })
  t.equal(stopped.end, 143, 'a signal to the outer process reaches the inner')
  t.match(stopped.stdout, /Stopped by SIGTERM\.\nCleaned up/)
})

t.test('where nothing is allowed, it says what to do', { ...users }, async (t) => {
  const nobody = 'exec setpriv --bounding-set=-all --inh-caps=-all'
  const script = `echo 0 > /proc/sys/user/max_user_namespaces && ${nobody} "${node}" "${main}"`
  const { stdout, end } = await run(asRootOfUserNamespace(script))
  if (!/demo makes network/.test(stdout)) return t.plan(0, 'no user namespaces here')
  t.equal(end, 1)
  t.match(stdout, /this user may not:\n +cannot create a namespace: operation not permitted/)
  t.match(stdout, /What helps, any one of these:\n(.*\n)*.*user\.max_user_namespaces=\d+\n(.*\n)*.*run as root/)
})

t.test('an error in the middle', { ...users }, async (t) => {
  const script = `echo 4 > /proc/sys/user/max_net_namespaces && exec "${node}" "${main}"`
  const { stdout, end } = await run(asRootOfUserNamespace(script))
  if (!/2\. Three/.test(stdout)) return t.plan(0, 'no user namespaces here')
  t.equal(end, 1)
  t.match(stdout, / {2}no {4}createNamespace: net0, net1 and net2\n/)
  t.match(stdout, /cannot create a namespace: .*ENOSPC/)
  // 4, or fewer: the kernel counts one that was deleted until it has taken it apart.
  t.match(stdout, /Cleaned up: all [2-4] namespaces are gone/)
})

interface Frames {
  readFrame(frame: Buffer): { kind: string; text: string; from?: string; to?: string; sequence?: number }
  reflect(frame: Buffer): Buffer
  makeArp(fields: { fromMac: string; from: string; toMac?: string; to: string }): Buffer
  makeEchoRequest(fields: {
    fromMac: string
    from: string
    toMac: string
    to: string
    id: number
    sequence: number
  }): Buffer
}

t.test('the program at the tap takes any frame', async (t) => {
  const frames = (await import(new URL('../.demo-build/frames.js', import.meta.url).href)) as Frames
  const [here, there] = ['02:00:00:00:00:01', '02:00:00:00:00:02']
  const request = frames.makeEchoRequest({
    fromMac: here,
    from: '10.0.0.1',
    toMac: there,
    to: '10.0.0.2',
    id: 7,
    sequence: 513,
  })
  t.match(frames.readFrame(request), { kind: 'echo request', from: '10.0.0.1', to: '10.0.0.2', sequence: 513 })
  t.match(frames.readFrame(frames.reflect(request)), {
    kind: 'echo reply',
    from: '10.0.0.2',
    to: '10.0.0.1',
    sequence: 513,
  })
  const asked = frames.makeArp({ fromMac: here, from: '10.0.0.1', to: '10.0.0.2' })
  t.match(frames.readFrame(asked), { kind: 'ARP request', from: '10.0.0.1', to: '10.0.0.2' })

  const headers = fc
    .constantFrom('0806', '080045', '08004f', '0800', '86dd', '1234')
    .map((hex) => Buffer.from(hex, 'hex'))
  const frame = fc
    .tuple(fc.uint8Array({ minLength: 0, maxLength: 12 }), headers, fc.uint8Array({ maxLength: 80 }))
    .map((parts) => Buffer.concat(parts))
  const cut = fc.nat(request.length).map((length) => request.subarray(0, length))
  fc.assert(
    fc.property(fc.oneof(frame, cut), (bytes) => {
      const { kind, text } = frames.readFrame(bytes)
      if (kind === 'echo request' || kind === 'UDP') frames.reflect(bytes)
      return text !== ''
    }),
    { numRuns: 2000 },
  )
  t.pass('2,000 frames of all sorts')
})
