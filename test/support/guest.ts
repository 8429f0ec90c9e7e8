/** Guests in QEMU for one test: a kernel of Debian's, busybox, a network device of the test's choice, and a shell to command it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Namespace } from '../../dist/namespace/namespace.js'
import { native } from '../../dist/native.js'
import { findKernel, type Kernel, smallInitramfs } from '../../scripts/kernels/small-guest.mjs'
import { needs, type Requirement } from './needs.js'

/** The number that the first of `descriptors` has in QEMU. */
export const FIRST_FD = 4

const CONTROL = 3
const LOCK_EX_NB = 2 | 4
const found = findKernel()

/** As `needs`, and guests besides. */
export async function needsGuest(...requirements: Requirement[]): Promise<{ skip: string | false }> {
  return found.kernel === undefined ? { skip: found.reason } : needs('namespaces', 'tun', ...requirements)
}

export interface GuestOptions {
  /** Of QEMU: `['-netdev', 'tap,id=n0,fd=4', '-device', 'virtio-net-pci,netdev=n0']`. */
  network: readonly string[]
  /** Descriptors that QEMU inherits, as 4, 5 … */
  descriptors?: readonly number[]
  processors?: number
}

export interface CommandResult {
  output: string
  exitCode: number
}

/** The arguments for one virtio-net device. */
export function network(netdev: string, mac = '52:54:00:00:00:01', device = ''): string[] {
  const id = /\bid=(\w+)/.exec(netdev)?.[1]
  return ['-netdev', netdev, '-device', `virtio-net-pci,netdev=${id},romfile=,mac=${mac}${device}`]
}

/** QEMU's arguments for a guest that is commanded through the socket with the number 3. */
export function guestArguments(kernel: Kernel, initrd: string, { network, processors = 1 }: GuestOptions): string[] {
  return [
    ...['-nodefaults', '-no-reboot', '-display', 'none', '-M', 'q35', '-m', '256', '-smp', String(processors)],
    ...['-accel', 'tcg', '-cpu', 'max,avx=off,avx2=off', '-serial', 'stdio'],
    ...['-chardev', `socket,id=control,fd=${CONTROL}`, '-device', 'virtio-serial-pci,vectors=2'],
    ...['-device', 'virtserialport,chardev=control,name=control'],
    ...['-kernel', kernel.image, '-initrd', initrd],
    ...['-append', 'console=ttyS0 quiet panic=-1 oops=panic mitigations=off nowatchdog'],
    ...network,
  ]
}

let initrdPath: string | undefined
let locked = false

/** Everything that QEMU needs to be started by somebody else. */
export async function guestFiles(t: Test): Promise<{ kernel: Kernel; initrd: string }> {
  const { kernel } = found
  if (kernel === undefined) throw new Error(found.reason)
  await alone(kernel)
  // libuv keeps a descriptor from its first pipe on: tests count them.
  await once(spawn('true', { stdio: 'pipe' }), 'close')
  if (initrdPath === undefined) {
    const path = join(tmpdir(), `netkit-initrd-${process.pid}`)
    writeFileSync(path, smallInitramfs(kernel))
    initrdPath = path
    process.on('exit', () => rmSync(path, { force: true }))
  }
  t.setTimeout(300_000)
  return { kernel, initrd: initrdPath }
}

/** One file at a time has guests, on the whole machine: each takes a processor. The lock goes with the process. */
async function alone(kernel: Kernel): Promise<void> {
  if (locked) return
  const file = join(dirname(dirname(kernel.image)), '.guest-tests.lock')
  let fd: number
  try {
    fd = openSync(file, 'a')
  } catch {
    // Somebody else's folder.
    fd = openSync(file, 'r')
  }
  while (native.lockFile(fd, LOCK_EX_NB) !== 0) await delay(100)
  locked = true
}

/** A guest that runs. */
export class Guest {
  /** What it and QEMU said outside of commands. */
  console = ''
  readonly ended: Promise<number | string | null>
  readonly #control: Socket
  #answer = ''
  /** Of QEMU, also when another process has started it: it holds the pipes. */
  #over = false
  #waiting: { resolve(result: CommandResult): void; reject(error: Error): void } | undefined

  constructor(readonly child: ChildProcess) {
    this.#control = child.stdio[CONTROL] as Socket
    this.#control.setEncoding('utf8').on('data', (text: string) => {
      this.#answer += text
      this.#look()
    })
    this.#control.on('error', () => {})
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        this.console += text
      })
    }
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('close', (code, signal) => resolve(signal ?? code))
    })
    void this.ended.then((end) => {
      this.#over = true
      this.#waiting?.reject(new Error(`QEMU ended (${end}): ${this.console.trim().split('\n').slice(-20).join('\n')}`))
    })
  }

  #look(): void {
    const match = /^=end= (\d+)\n/m.exec(this.#answer)
    if (match === null || this.#waiting === undefined) return
    const output = this.#answer.slice(0, match.index)
    this.#answer = this.#answer.slice(match.index + match[0].length)
    this.#waiting.resolve({ output, exitCode: Number(match[1]) })
    this.#waiting = undefined
  }

  /** The end of the command that is under way: at first, of the start. */
  wait(): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      if (this.#over) reject(new Error(`QEMU ended: ${this.console}`))
      else this.#look()
    })
  }

  /** Runs a line of shell in the guest. */
  run(command: string): Promise<CommandResult> {
    this.#control.write(`${command}\n`)
    return this.wait()
  }

  /** Gives the interface with this number its address, and brings it up. */
  async configure(number: number, address: string): Promise<void> {
    await this.ask(`ip address add ${address} dev eth${number} && ip link set eth${number} up`)
  }

  /** Runs what has to succeed. Gives its output. */
  async ask(command: string): Promise<string> {
    const { output, exitCode } = await this.run(command)
    if (exitCode !== 0) throw new Error(`${command}: exit code ${exitCode}: ${output}`)
    return output.trim()
  }

  /** Kills QEMU, and waits for its end. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** Pings an address from inside a namespace until it answers, and then some more. */
export async function pings(t: Test, namespace: Namespace, address: string): Promise<void> {
  // The first one may find that ARP was asked too early.
  await namespace.exec('ping', ['-c1', '-w20', address])
  const { exitCode, stdout } = await namespace.exec('ping', ['-c5', '-i0.1', '-W10', address])
  t.equal(exitCode, 0, `${address} answers: ${stdout.trim().split('\n').at(-2)}`)
}

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

/** Sends so many bytes to a guest and back, over TCP, and compares hashes of what arrives. */
export async function transfers(
  t: Test,
  namespace: Namespace,
  guest: Guest,
  address: string,
  bytes = 1_000_000,
): Promise<void> {
  const data = randomBytes(bytes)
  // The guest's shell goes on at once; nc ends with the connection.
  await guest.ask('rm -f /tmp/in; (nc -l -p 5000 >/tmp/in; touch /tmp/done) </dev/null >/dev/null 2>&1 & sleep 0.2')
  const there = await connected(namespace, address, 5000)
  there.end(data)
  there.resume()
  await once(there, 'close')
  const hash = await guest.ask(
    'i=0; until [ -e /tmp/done ] || [ $i = 100 ]; do i=$((i + 1)); sleep 0.1; done; rm -f /tmp/done; sha256sum </tmp/in',
  )
  t.equal(hash.split(' ')[0], sha256(data), `${bytes} bytes to ${address}`)
  await guest.ask('(nc -l -p 5001 </tmp/in >/dev/null 2>&1 &) ; sleep 0.2')
  const back = await connected(namespace, address, 5001)
  const hasher = createHash('sha256')
  let size = 0
  back.on('data', (chunk) => {
    hasher.update(chunk)
    size += chunk.length
    if (size === bytes) back.end()
  })
  await once(back, 'close')
  t.equal(hasher.digest('hex'), sha256(data), `and back`)
}

/** A connection to what may not listen yet. */
async function connected(namespace: Namespace, host: string, port: number): Promise<Socket> {
  for (let tries = 0; ; tries++) {
    try {
      return await namespace.connect({ host, port })
    } catch (error) {
      if (tries === 50 || (error as { code?: string }).code !== 'ECONNREFUSED') throw error
      await delay(100)
    }
  }
}

/** Starts a guest, and waits until it can be commanded. It is killed at the test's end. */
export async function startGuest(t: Test, options: GuestOptions): Promise<Guest> {
  const { kernel, initrd } = await guestFiles(t)
  const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...guestArguments(kernel, initrd, options)]
  const child = spawn('setpriv', args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...(options.descriptors ?? [])],
  })
  const guest = new Guest(child)
  t.teardown(() => guest.kill())
  await guest.wait()
  return guest
}
