/** Guests in QEMU for one test: a kernel of Debian's, busybox, a network device of the test's choice, and a shell to command it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
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
  return ['-netdev', netdev, '-device', `virtio-net-pci,netdev=n0,romfile=,mac=${mac}${device}`]
}

/** QEMU's arguments for a guest that is commanded through the socket with the number 3. */
export function guestArguments(kernel: Kernel, initrd: string, { network, processors = 1 }: GuestOptions): string[] {
  return [
    ...['-nodefaults', '-no-reboot', '-display', 'none', '-M', 'q35', '-m', '256', '-smp', String(processors)],
    ...['-accel', 'tcg', '-cpu', 'max,avx=off,avx2=off', '-serial', 'stdio'],
    ...['-chardev', `socket,id=control,fd=${CONTROL}`, '-serial', 'chardev:control'],
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
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        reject(new Error(`QEMU ended: ${this.console}`))
      else this.#look()
    })
  }

  /** Runs a line of shell in the guest. */
  run(command: string): Promise<CommandResult> {
    this.#control.write(`${command}\n`)
    return this.wait()
  }

  /** The same, for what has to succeed. Gives its output. */
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
