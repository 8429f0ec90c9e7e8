/** What is done inside of a namespace: programs and kernel parameters. */
import { statSync } from 'node:fs'
import { inspect } from 'node:util'
import t from 'tap'
import { currentNamespace } from '../dist/namespace/open.js'
import { ExecError } from '../dist/namespace/programs.js'
import { needs } from './support/needs.js'
import { askProgram } from './support/program.js'
import { scratch } from './support/scratch.js'

const inodeHere = () => statSync('/proc/thread-self/ns/net').ino

t.test('spawn', await needs('namespaces'), async (t) => {
  const box = await scratch(t)
  const child = box.spawn('readlink', ['/proc/self/ns/net'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer)
  t.equal(Buffer.concat(chunks).toString(), `net:[${box.inode}]\n`)
  t.equal(inodeHere(), currentNamespace().inode)
  const missing = box.spawn('netkit-no-such-program')
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => missing.once('error', resolve))
  t.equal(error.code, 'ENOENT', "a program that is not there gives Node's error")
  t.throws(() => box.spawn(''), { code: 'ERR_INVALID_ARG_VALUE' }, "Node's own check")
})

t.test('a pid namespace without a /proc of its own', await needs('namespaces', 'unshare'), async (t) => {
  const program = `
    import { statSync } from 'node:fs'
    import { createNamespace, currentNamespace } from './dist/namespace/open.js'
    const inode = () => statSync('/proc/thread-self/ns/net').ino
    const [host, box] = [currentNamespace(), await createNamespace()]
    const inside = box.run(() => [inode(), host.run(inode), inode()])
    console.log(JSON.stringify({ box: box.inode, host: host.inode, pid: process.pid, inside, after: inode() }))`
  const { box, host, pid, inside, after } = await askProgram(program, {
    wrapper: ['unshare', '--pid', '--fork', '--kill-child'],
  })
  t.equal(pid, 1)
  t.same([inside, after], [[box, host, box], host], 'a nested call gets to the own namespace')
})

t.test('exec', await needs('namespaces'), async (t) => {
  const box = await scratch(t)
  t.same(await box.exec('sh', ['-c', 'readlink /proc/self/ns/net; echo oops >&2; exit 3']), {
    stdout: `net:[${box.inode}]\n`,
    stderr: 'oops\n',
    exitCode: 3,
    signal: null,
  })
  t.match(await box.exec('true'), { stdout: '', exitCode: 0 })
  t.match(await box.exec('sh', ['-c', 'kill -TERM $$']), { exitCode: null, signal: 'SIGTERM' })
  t.match(await box.exec('cat', [], { input: 'words' }), { stdout: 'words' })
  t.match(await box.exec('cat'), { stdout: '' }, 'without input, standard input is empty')
  t.match(await box.exec('true', [], { input: 'x'.repeat(1_000_000) }), { exitCode: 0 }, 'input need not be read')
  const { stdout } = await box.exec('cat', [], { input: new Uint8Array([1, 2, 255]), encoding: 'buffer' })
  t.same(stdout, Buffer.from([1, 2, 255]))
  t.match(await box.exec('sh', ['-c', 'echo $NETKIT_X; pwd'], { env: { NETKIT_X: 'y' }, cwd: '/proc' }), {
    stdout: 'y\n/proc\n',
  })
  t.equal((await box.exec('sh', ['-c', 'printf "\\303\\244"'], { encoding: 'latin1' })).stdout, 'Ã¤')
  await t.rejects(box.exec('netkit-no-such-program'), { code: 'ENOENT', syscall: /^spawn/ })
  await t.rejects(box.exec('true', [], { cwd: '/no/such/folder' }), { code: 'ENOENT' })

  const failed = await box.exec('sh', ['-c', 'echo out; echo because >&2; exit 4'], { check: true }).catch((e) => e)
  t.type(failed, ExecError)
  t.match(failed, { code: 'ERR_EXEC_FAILED', exitCode: 4, stdout: 'out\n', stderr: 'because\n', message: /because/ })
  const killed = box.exec('sh', ['-c', 'kill -9 $$'], { check: true })
  await t.rejects(killed, { code: 'ERR_EXEC_FAILED', exitCode: null, signal: 'SIGKILL' })
  const wordy = box.exec('sh', ['-c', 'while :; do echo words; done'], { maxBuffer: 1000 })
  const tooMuch = await wordy.catch((error) => error)
  t.match(tooMuch, { code: 'ERR_EXEC_MAXBUFFER' })
  t.equal(tooMuch.stdout.length, 1000)

  // A child that ignores SIGTERM and leaves its output to a grandchild.
  const stubborn = ['-c', "trap '' TERM; echo begun; sleep 20 & wait"]
  const started = performance.now()
  const late = await box.exec('sh', stubborn, { timeout: 300 }).catch((error) => error)
  t.match(late, { name: 'ExecError', code: 'ERR_EXEC_TIMEOUT', stdout: 'begun\n' })
  const controller = new AbortController()
  const aborted = box.exec('sh', stubborn, { signal: controller.signal })
  setTimeout(() => controller.abort(new Error('enough')), 50)
  await t.rejects(aborted, { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'enough' } })
  await t.rejects(box.exec('true', [], { signal: AbortSignal.abort() }), { name: 'AbortError' })
  t.ok(performance.now() - started < 10_000, 'neither waits for the grandchild')
  for (const pid of await box.processes()) process.kill(pid, 'SIGKILL')

  const exec = box.exec.bind(box) as (...args: unknown[]) => Promise<unknown>
  await t.rejects(exec(5), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(exec('true', 'x'), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(exec('true', [5]), { code: 'ERR_INVALID_ARG_TYPE', message: /args\[0\]/ })
  await t.rejects(exec('true', [], { timeout: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(exec('true', [], { encoding: 'utf9' }), { code: 'ERR_INVALID_ARG_VALUE' })
  await t.rejects(exec('true', [], { input: 5 }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(exec('true', [], { signal: 5 }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(exec('true', [], { chek: true }), { code: 'ERR_INVALID_ARG_VALUE', message: /'check'/ })
})

t.test('sysctl', await needs('namespaces', 'ip'), async (t) => {
  const box = await scratch(t)
  const host = currentNamespace()
  const before = host.sysctl.get('net.ipv4.ip_forward')
  box.sysctl.set('net.ipv4.ip_forward', before === '1' ? 0 : 1)
  t.equal(box.sysctl.get('net.ipv4.ip_forward'), before === '1' ? '0' : '1')
  t.equal(host.sysctl.get('net.ipv4.ip_forward'), before, "the process's own is as it was")
  t.equal(box.sysctl, box.sysctl)
  for (const [given, read] of [
    [true, '1'],
    [false, '0'],
    ['1', '1'],
    [0, '0'],
  ] as const) {
    box.sysctl.set('net/ipv4/ip_forward', given)
    t.equal(box.sysctl.get('net.ipv4.ip_forward'), read)
  }
  box.sysctl.set('net.ipv4.ping_group_range', '0 0')
  t.equal(box.sysctl.get('net.ipv4.ping_group_range'), '0\t0')
  await box.exec('ip', ['link', 'add', 'eth0.100', 'type', 'veth'], { check: true })
  box.sysctl.set('net.ipv4.conf.eth0/100.rp_filter', 2)
  t.equal(box.sysctl.get('net/ipv4/conf/eth0.100/rp_filter'), '2', 'an interface with a dot in its name')

  const value = { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' }
  for (const name of ['kernel.hostname', 'net', 'vm/swappiness', '', '.', '/net/ipv4/ip_forward', 'net..ipv4']) {
    t.throws(() => box.sysctl.get(name), value, name)
  }
  for (const name of ['net/../kernel/hostname', 'net.//.kernel.hostname', 'net/ipv4/./ip_forward', 'net.ipv4\0']) {
    t.throws(() => box.sysctl.get(name), value, inspect(name))
    t.throws(() => box.sysctl.set(name, 'x'), value, inspect(name))
  }
  t.throws(() => box.sysctl.set('net.ipv4.ip_forward', '1\n0'), value)
  const sysctl = box.sysctl as unknown as { get(name: unknown): string; set(name: string, value?: unknown): void }
  t.throws(() => sysctl.get(5), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const wrong of [1.5, Number.NaN, null, undefined, {}]) {
    t.throws(() => sysctl.set('net.ipv4.ip_forward', wrong), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  t.throws(() => box.sysctl.get('net.ipv4.no_such_thing'), {
    name: 'NetkitError',
    code: 'ENOENT',
    message: /no sysctl net\.ipv4\.no_such_thing in namespace \d+/,
  })
  t.throws(() => box.sysctl.set('net.ipv4.no_such_thing', 1), { code: 'ENOENT' })
  t.throws(() => box.sysctl.set('net.ipv4.ip_forward', 'words'), { code: 'EINVAL', syscall: 'write' })
  t.throws(() => box.sysctl.get('net.ipv4'), { code: 'EISDIR' })
  t.throws(() => box.sysctl.get('net.ipv4.route.flush'), { code: 'EACCES' }, 'one that can only be written')
})
